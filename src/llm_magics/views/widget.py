"""`.widget()`: SLO sliders that recompute goodput as they move, without a FigureWidget.

A FigureWidget would cost 5 MB a figure in the saved notebook and time out on slow machines; here two sliders and an
Output are enough: what changes is replaced as a mime bundle that the front end draws like any other output.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_magics.errors import LLMMagicsError
from llm_magics.results.columns import OK
from llm_magics.results.summary import counted
from llm_magics.views import format as fmt
from llm_magics.views import palette
from llm_magics.views.bundle import bundle
from llm_magics.views.figures.board import Board, plain, spans
from llm_magics.views.figures.load_axis import load_axis
from llm_magics.views.markup import page
from llm_magics.views.readable import readable
from llm_magics.views.table import Column, Table

if TYPE_CHECKING:
    from llm_magics.results.run import Run

INSTALL = "pip install 'llm-magics[widgets]'"


def slo_widget(runs: Mapping[str, Run]) -> Any:
    """Sliders for the TTFT and TPOT limits over a figure and a table of goodput, for one run or several sides.

    Raises
    ------
    LLMMagicsError
        When ipywidgets is missing, or no request was recorded (an import that holds only summaries).
    """
    try:
        import ipywidgets
    except ImportError:
        raise LLMMagicsError("Sliders need ipywidgets.", why="it is not installed here", then=INSTALL) from None
    if not any(len(run.measured) for run in runs.values()):
        raise LLMMagicsError("There are no single requests to judge.", why="the run holds only summaries")
    ttft, tpot = (
        _slider(ipywidgets, runs, key, title)
        for key, title in (("ttft", "TTFT within, ms"), ("tpot", "TPOT within, ms"))
    )
    shown = ipywidgets.Output()
    sliders = ipywidgets.HBox([ttft, tpot], layout={"flex_flow": "row wrap"})
    box = readable(ipywidgets.VBox)([sliders, shown])

    def redraw(_: Any = None) -> None:
        found = goodput(runs, ttft.value / 1000, tpot.value / 1000)
        box.still = bundle(
            _figure(runs, found), page(_table(runs, found).html()), str(_table(runs, found)), stills=False
        )
        shown.outputs = ({"output_type": "display_data", "data": box.still, "metadata": {}},)

    for slider in (ttft, tpot):
        slider.observe(redraw, "value")
    redraw()
    return box


def goodput(runs: Mapping[str, Run], ttft: float, tpot: float) -> dict[str, list[dict[str, float]]]:
    """Per side and sweep point, for limits in s: `share` of requests within both, and `rate` of those (requests/s).

    A request without a TPOT (one chunk) meets that limit, an error and one left unanswered meet none: as in
    `results.summary`.
    """
    found: dict[str, list[dict[str, float]]] = {}
    for label, run in runs.items():
        rows = []
        for point in run.points:
            columns = run.at(point["point"])
            good = (columns.status == OK) & (columns.ttft <= ttft) & ((columns.tpot <= tpot) | np.isnan(columns.tpot))
            ended = int(np.sum(counted(columns, interrupted=run.partial)))
            duration = float(point.get("duration") or 0.0)
            rows.append({"share": float(good.sum()) / ended if ended else 0.0,
                         "rate": float(good.sum()) / duration if duration else 0.0})  # fmt: skip
        found[label] = rows
    return found


def _slider(ipywidgets: Any, runs: Mapping[str, Run], key: str, title: str) -> Any:
    """A slider over the measured times, in ms, from the fastest request to beyond the slowest."""
    known = np.concatenate([getattr(run.measured, key) for run in runs.values()])
    known = known[known > 0] * 1000
    low, high = (float(known.min()), float(known.max())) if len(known) else (1.0, 1000.0)
    limit = next((run.slo[key] for run in runs.values() if key in run.slo), None)
    low, high = np.log10(low * 0.8), np.log10(max(high, (limit or 0.0) * 1000) * 1.2)
    start = limit * 1000 if limit else float(np.median(known)) * 1.5 if len(known) else 100.0
    return ipywidgets.FloatLogSlider(
        value=float(np.clip(start, 10**low, 10**high)),
        base=10,
        min=low,
        max=high,
        step=(high - low) / 100,
        description=title,
        readout_format=",.1f",
        continuous_update=True,
        layout={"width": "420px"},
        style={"description_width": "115px"},
    )


def _figure(runs: Mapping[str, Run], found: Mapping[str, list[dict[str, float]]]) -> Any:
    board = Board("", "", [190])
    left, right = spans(2, 0.1)
    first = next(iter(runs.values()))
    _, title, axis = load_axis(first.points)
    panels = (
        board.panel(0, *left, "<b>Goodput</b>  share within the limits", x=title, xaxis=axis,
                    yaxis={"range": [0, 1.05], "tickvals": [0, 0.5, 1], "ticktext": ["0 %", "50 %", "100 %"]}),
        board.panel(0, *right, "<b>Good requests</b>", x=title, y="req/s", xaxis=axis),
    )  # fmt: skip
    for number, (label, rows) in enumerate(found.items()):
        here = load_axis(runs[label].points)[0]
        for panel, key in zip(panels, ("share", "rate"), strict=True):
            panel.add(
                x=list(here), y=[row[key] for row in rows], mode="lines+markers", name=plain(label),
                line={"color": palette.series(number)}, marker={"size": 8, "symbol": palette.symbol(number)},
                hovertemplate=f"{plain(label)}<br><b>%{{y:.3~g}}</b><extra></extra>",
            )  # fmt: skip
    if len(found) > 1:
        panels[1].legend([(plain(label), palette.series(number)) for number, label in enumerate(found)])
    return board.figure()


def _table(runs: Mapping[str, Run], found: Mapping[str, list[dict[str, float]]]) -> Table:
    columns = [Column("Target"), Column("Load"), Column("Goodput", align="right"),
               Column("Good requests", "req/s", align="right")]  # fmt: skip
    return Table(columns, [
        [label, str(point.get("label") or "load"), fmt.percent(row["share"]), fmt.number(row["rate"])]
        for label, rows in found.items()
        for point, row in zip(runs[label].points, rows, strict=True)
    ])  # fmt: skip
