"""The tables of what there is: servers, GPUs, engines, findings, stored runs. Those of one run are `run_tables`.

They load no numpy, for a terminal that lists something is to answer at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from llm_magics.views import format as fmt
from llm_magics.views.cards import STATE_TONES, lifetime
from llm_magics.views.table import READABLE, Cell, Column, Table, Tone

if TYPE_CHECKING:
    from llm_magics.results.store import RunRow
    from llm_magics.views.facts import EngineFacts, FindingFacts, GpuFacts, ServerFacts


def servers(records: Iterable[ServerFacts], now: float | None = None) -> Table:
    """`%llm list`: every server, what it runs, where it listens and how long it lives."""
    moment = time.time() if now is None else now
    columns = [Column("Name"), Column("State"), Column("Engine"), Column("Model"), Column("Address"), Column("Lives")]
    return Table(columns, [_server(record, moment) for record in records],
                 empty="No servers. `%serve tiny` starts one.")  # fmt: skip


def _server(record: ServerFacts, now: float) -> Sequence[Cell | str]:
    tone: Tone = STATE_TONES.get(record.state, "muted")
    note = record.stage if record.state in ("starting", "loading") else ""
    if record.state == "ready" and record.asleep:
        note = "asleep"
    elif record.state == "failed" and record.diagnosis:
        note = record.diagnosis.get("cause", "")
    elif record.state == "elsewhere":
        note = f"on {record.host}"
    return [
        record.name,
        Cell(record.state, tone, note=note),
        f"{record.engine} {record.engine_version}".strip(),
        fmt.shortened(record.model, 48),
        Cell(f"{record.url}/v1" if record.url and record.alive else fmt.NOTHING),
        lifetime(record, now) if record.alive else f"ended {fmt.ago(record.ended_at, now)}" if record.ended_at else "",
    ]


def gpus(found: Iterable[GpuFacts]) -> Table:
    """`%llm gpus`: each GPU, its memory and who holds it."""
    columns = [
        Column("GPU", align="right"), Column("Name"), Column("Memory", align="right"), Column("Busy", align="right"),
        Column("Power", align="right"), Column("Temp.", align="right"), Column("Held by", wrap=True),
    ]  # fmt: skip
    return Table(columns, [_gpu(each) for each in found], empty="No GPU that this machine's driver shows.")


def engines(found: Iterable[EngineFacts]) -> Table:
    """`%llm engines`: what is installed, where, and how to install the rest."""
    columns = [Column("Engine"), Column("State"), Column("Version"), Column("Where, or how to install it", wrap=True)]
    rows = [_engine(each) for each in found]
    return Table(columns, rows, empty="No engines are registered.", widest=READABLE)


def doctor(findings: Iterable[FindingFacts]) -> Table:
    """`%llm doctor`: every finding, how it stands, and what to type where it does not stand well."""
    tones: dict[str, Tone] = {"ok": "good", "warning": "warn", "missing": "muted"}
    columns = [Column("What"), Column("State"), Column("Detail", wrap=True), Column("What to do", wrap=True)]
    rows: list[list[Cell | str]] = [
        [each.what, Cell(each.state, tones.get(each.state, "")), each.detail, each.remedy] for each in findings
    ]
    return Table(columns, rows, widest=READABLE)


def runs(rows: Iterable[RunRow], now: float | None = None) -> Table:
    """`%llm runs`: the stored runs, newest first, with their headline figures."""
    columns = [
        Column("Run"), Column("Of"), Column("Engine"), Column("Model"), Column("When"),
        Column("Requests", align="right"), Column("Best output", "tok/s", align="right"), Column("reached at"),
        Column("TTFT p50", "ms", align="right"), Column("TPOT p50", "ms", align="right"),
    ]  # fmt: skip
    return Table(
        columns, [_run(row, now) for row in rows], empty="No runs are stored. `%bench NAME` measures a server."
    )


def _run(row: RunRow, now: float | None) -> Sequence[Cell | str]:
    figures = row.headline
    return [
        Cell(row.id, "flag" if row.status != "complete" else "", mark="" if row.status == "complete" else "partial"),
        Cell(row.label, note=str(figures.get("round") or "")),
        row.engine,
        fmt.shortened(row.model, 40),
        fmt.ago(datetime.fromisoformat(row.started).timestamp(), now),
        Cell(fmt.count(row.requests), note=f"{fmt.count(failed)} failed" if (failed := figures.get("failed")) else ""),
        fmt.number(figures.get("output_throughput")),
        str(figures.get("at") or ""),
        fmt.number(figures.get("median_ttft_ms")),
        fmt.number(figures.get("median_tpot_ms")),
    ]


def _engine(engine: EngineFacts) -> Sequence[Cell | str]:
    name = Cell(engine.title, note=engine.key if engine.key != engine.title.lower() else "")
    if engine.installed:
        return [name, Cell("installed", "good"), engine.version, Cell(engine.where, note=engine.origin)]
    return [name, Cell("not installed", "muted"), fmt.NOTHING, engine.command]


def _gpu(gpu: GpuFacts) -> Sequence[Cell | str]:
    holders = [
        f"{each.server or each.name} (pid {each.pid}" + (f", {fmt.size(each.memory)})" if each.memory else ")")
        for each in gpu.processes
    ]
    used = f"{fmt.size(gpu.memory_used)} of {fmt.size(gpu.memory_total)}"
    return [
        str(gpu.index),
        Cell(gpu.name, note="cut into MIG instances" if gpu.mig else ""),
        used,
        fmt.NOTHING if gpu.utilisation is None else f"{gpu.utilisation} %",
        fmt.NOTHING if gpu.power is None else f"{gpu.power:.0f} W",
        fmt.NOTHING if gpu.temperature is None else f"{gpu.temperature} °C",
        ", ".join(holders) if holders else "nobody",
    ]
