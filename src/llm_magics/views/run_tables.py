"""The tables of one run: its sweep points as the client saw them, and as the server did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llm_magics.results.server_side import QUANTITIES, Quantity, exported, unseen
from llm_magics.views import format as fmt
from llm_magics.views.table import Cell, Column, Table

if TYPE_CHECKING:
    from llm_magics.results.run import Run


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
    declared = run.header.get("exports") or ()
    known, dark = exported(run.server_samples, declared), unseen(run.points, run.server_samples, declared)
    if not run.points or run.given is not None:
        return Table([Column("Load")], [])
    if not run.server_samples:
        return Table(
            [Column("Load")], [], empty="The server's side was not seen: nothing was looked at during the run."
        )
    shown = [each for each in QUANTITIES if each.key in known - dark]
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
    if dark:
        notes.append(f"{TOO_SHORT}: {', '.join(_name(each) for each in QUANTITIES if each.key in dark)}")
    sources = {str(point["energy_source"]) for point in run.points if point.get("energy_source")}
    notes += [f"energy: {', '.join(sorted(sources))}"] if sources else []
    return Table(columns, rows, caption="The server's side", notes=notes)


TOO_SHORT = "not seen (too few looks with an answer between them)"
_OURS = {"mean_server_ttft_ms": "mean_ttft_ms", "mean_server_tpot_ms": "mean_tpot_ms"}
_UNITS = {"share": "", "bytes": ""}


def _name(each: Quantity) -> str:
    return f"{each.title} of the server" if each.key in _OURS else each.title


def _quantity(value: float | None, unit: str) -> str:
    if unit == "share":
        return fmt.percent(value)
    return fmt.size(value) if unit == "bytes" else fmt.number(value)


_LATENCIES = ("median_ttft_ms", "p99_ttft_ms", "median_tpot_ms", "p99_tpot_ms", "median_e2el_ms", "p99_e2el_ms")
