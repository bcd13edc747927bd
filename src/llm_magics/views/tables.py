"""The tables of the product, each made from what the floor below hands up: records, GPUs, engines, runs, findings."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from llm_magics.results.server_side import QUANTITIES, Quantity, exported
from llm_magics.views import format as fmt
from llm_magics.views.cards import STATE_TONES, lifetime
from llm_magics.views.comparison_table import comparison, interval, title
from llm_magics.views.table import READABLE, Cell, Column, Table, Tone

__all__ = ["comparison", "doctor", "engines", "gpus", "interval", "points", "runs", "server_side", "servers", "title"]

if TYPE_CHECKING:
    from llm_magics.results.run import Run
    from llm_magics.results.store import RunRow
    from llm_magics.views.facts import EngineFacts, FindingFacts, GpuFacts, ServerFacts


def servers(records: Iterable[ServerFacts], now: float | None = None) -> Table:
    """`%llm list`: every server, what it runs, where it listens and how long it lives."""
    moment = time.time() if now is None else now
    columns = [Column("Name"), Column("State"), Column("Engine"), Column("Model"), Column("Address"), Column("Lives")]
    return Table(columns, [_server(record, moment) for record in records],
                 empty="No servers. `%serve tiny` starts one.")  # fmt: skip


def points(run: Run, *, brief: bool = False) -> Table:
    """A run's sweep points: what was asked for, what came out, and how many requests were good or failed.

    `brief` leaves out what a narrow place has no room for.
    """
    latencies = ["TTFT p50", "TTFT p99", "TPOT p50", "TPOT p99", "E2E p50", "E2E p99"]
    columns = [
        Column("Load"),
        *[Column("Finished", align="right")] * (not brief),
        Column("Output", "tok/s", align="right"),
        Column("Rate", "req/s", align="right"),
        *(Column(title, "ms", align="right") for title in latencies[: 4 if brief else 6]),
    ]
    judged = any(point.get("goodput") is not None for point in run.points)
    failed = any(point.get("failed") for point in run.points)
    unanswered = any(point.get("cancelled") for point in run.points)
    checked = any(point.get("valid") is not None for point in run.points)
    columns += [Column("Valid JSON", align="right")] * checked
    columns += [Column("Goodput", align="right")] * judged + [Column("Failed", align="right")] * failed
    columns += [Column("Unanswered", align="right")] * unanswered
    costs = [each for each in _COSTS if any(point.get(each[0]) is not None for point in run.points)]
    columns += [Column(title, unit, align="right") for _, title, unit in costs]
    rows = []
    for point in run.points:
        row: list[Cell | str] = [
            _load(run, point),
            *[fmt.count(point.get("completed"))] * (not brief),
            fmt.number(point.get("output_throughput")),
            fmt.number(point.get("request_throughput")),
            *(fmt.number(point.get(key)) for key in _LATENCIES[: 4 if brief else 6]),
        ]
        if checked:
            share = point.get("valid")
            row.append(Cell(fmt.percent(share), "worse" if share is not None and share < 1 else ""))
        if judged:
            row.append(fmt.percent(point.get("goodput")))
        if failed:
            row.append(Cell(fmt.count(point.get("failed")), "worse" if point.get("failed") else ""))
        if unanswered:
            row.append(Cell(fmt.count(point.get("cancelled")), "worse" if point.get("cancelled") else ""))
        row += [fmt.number(point.get(key)) for key, _, _ in costs]
        rows.append(row)
    lost = [str(point.get("label") or "load") for point in run.points if _lossy(point)]
    notes = [f"latencies are of the answered requests only, many got no answer: {', '.join(lost)}"] if lost else []
    return Table(columns, rows, empty="Nothing was measured.", notes=notes)


def _lossy(point: Mapping[str, Any]) -> bool:
    """Whether so many got no answer that the latencies of the others say little of the load."""
    lost = (point.get("cancelled") or 0) + (point.get("failed") or 0)
    return lost > _LOST * (lost + (point.get("completed") or 0))


_LOST = 0.05  # share of the requests without an answer from which a p99 is no more that of the load
_COSTS = (
    ("output_throughput_per_gpu", "Each GPU", "tok/s"),
    ("dollars_per_million_output_tokens", "Million tokens", "$"),
    ("output_tokens_per_joule", "Energy", "tok/J"),
)


def _load(run: Run, point: Mapping[str, Any]) -> Cell | str:
    """The load of a point; of a search, whether it holds."""
    label = str(point.get("label") or "load")
    if run.search is None or run.search.answer is None:
        return label
    at = point.get("max_concurrency") if run.search.over == "concurrency" else point.get("request_rate")
    return Cell(label, "best", mark="answer") if at == run.search.answer else label


def server_side(run: Run) -> Table:
    """What the server said of itself and used, at each point, beside what the client saw; and what it did not say."""
    known = exported(run.server_samples)
    if not run.points or run.given is not None:
        return Table([Column("Load")], [])
    shown = [each for each in QUANTITIES if each.key in known]
    missing = [each for each in QUANTITIES if each.key not in known]
    columns, rows = [Column("Load")], [[str(point.get("label") or "load")] for point in run.points]
    for each in shown:
        if ours := _OURS.get(each.key):
            columns.append(Column(f"{each.title}, here", each.unit, align="right"))
            for row, point in zip(rows, run.points, strict=True):
                row.append(fmt.number(point.get(ours)))
        columns.append(
            Column(
                f"{each.title}, server" if each.key in _OURS else each.title,
                _UNITS.get(each.unit, each.unit),
                align="right",
            )
        )
        for row, point in zip(rows, run.points, strict=True):
            row.append(_quantity(point.get(each.key), each.unit))
    notes = [f"not exported: {', '.join(_name(each) for each in missing)}"] if missing else []
    sources = {str(point["energy_source"]) for point in run.points if point.get("energy_source")}
    notes += [f"energy: {', '.join(sorted(sources))}"] if sources else []
    return Table(columns, rows, caption="The server's side", notes=notes)


_OURS = {"mean_server_ttft_ms": "mean_ttft_ms", "mean_server_tpot_ms": "mean_tpot_ms"}
_UNITS = {"share": "", "bytes": ""}


def _name(each: Quantity) -> str:
    return f"{each.title} of the server" if each.key in _OURS else each.title


def _quantity(value: float | None, unit: str) -> str:
    if unit == "share":
        return fmt.percent(value)
    return fmt.size(value) if unit == "bytes" else fmt.number(value)


_LATENCIES = ("median_ttft_ms", "p99_ttft_ms", "median_tpot_ms", "p99_tpot_ms", "median_e2el_ms", "p99_e2el_ms")


def _server(record: ServerFacts, now: float) -> Sequence[Cell | str]:
    tone: Tone = STATE_TONES.get(record.state, "muted")
    note = record.stage if record.state in ("starting", "loading") else ""
    if record.state == "ready" and record.asleep:
        note = "asleep"
    elif record.state == "failed" and record.diagnosis:
        note = record.diagnosis.get("cause", "")
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
        fmt.count(row.requests),
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
