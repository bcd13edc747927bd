"""The table of a comparison: every side at every shared load, with intervals; the better one is marked if certain."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from llm_magics.results.metrics import METRICS
from llm_magics.results.wording import winner
from llm_magics.views import format as fmt
from llm_magics.views.table import Cell, Column, Table

if TYPE_CHECKING:
    from llm_magics.results.comparison import Comparison

_SHOWN = ("median_ttft_ms", "p99_ttft_ms", "median_tpot_ms", "p99_tpot_ms", "median_e2el_ms", "goodput")
MARKED = "✓ better, and certainly so (95 %, corrected for the number of comparisons)"


def comparison(found: Comparison, *, brief: bool = False) -> Table:
    """A row for each load and side; `brief` leaves the intervals to the figure."""
    shown = (found.throughput, *_SHOWN)
    here = [metric for metric in shown if any((point, metric) in found.table.index for point in found.points)]
    columns = [Column("Load"), Column("Target")]
    columns += [Column(title(metric), METRICS[metric].unit, align="right") for metric in here]
    rows: list[list[Cell | str]] = []
    marked = False
    for point in found.points:
        for place, label in enumerate(found.labels):
            row: list[Cell | str] = [point if place == 0 else "", label]
            for metric in here:
                cell = _cell(found, point, metric, label, brief)
                marked = marked or bool(cell.mark)
                row.append(cell)
            rows.append(row)
    return Table(columns, rows, notes=[MARKED] if marked else [], empty="No load was measured on every side.")


def title(metric: str) -> str:
    """A metric's name in a narrow place."""
    return "Output" if metric in ("steady_output_throughput", "output_throughput") else METRICS[metric].title


def interval(found: Comparison, point: str, metric: str, label: str) -> tuple[float, float] | None:
    """The 95 % interval of one side's figure; None where there is none."""
    if (point, metric) not in found.table.index:
        return None
    low, high = (_value(found, point, metric, label, end) for end in ("low", "high"))
    return None if math.isnan(low) or math.isnan(high) else (low, high)


def _value(found: Comparison, point: str, metric: str, label: str, which: str) -> float:
    return float(found.table.at[(point, metric), (label, which)])  # type: ignore[arg-type]


def _cell(found: Comparison, point: str, metric: str, label: str, brief: bool) -> Cell:
    if (point, metric) not in found.table.index:
        return Cell(fmt.NOTHING)
    value = _value(found, point, metric, label, "value")
    written = fmt.percent if metric == "goodput" else fmt.number
    bounds = None if brief else interval(found, point, metric, label)
    note = f"{written(bounds[0])} to {written(bounds[1])}" if bounds else ""
    best = _certainly_best(found, point, metric, label)
    return Cell(written(value), "best" if best else "", note=note, mark="✓" if best else "")


def _certainly_best(found: Comparison, point: str, metric: str, label: str) -> bool:
    """Whether a side is ahead of every other one here, each time beyond doubt."""
    against = [
        effect
        for effect in found.effects
        if effect.point == point and effect.metric == metric and label in (effect.base, effect.other)
    ]
    return bool(against) and all(effect.outcome == "different" and winner(effect) == label for effect in against)
