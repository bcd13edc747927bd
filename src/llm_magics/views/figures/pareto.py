"""The figure of a sweep: throughput against latency, a line a setting through its loads, and the Pareto front.

Up and to the left is better. A button chooses which latency; the front is that of the latency shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_magics.results.metrics import METRICS
from llm_magics.results.sweep import LATENCIES, TOKENS, Point, Sweep
from llm_magics.views import palette, sweeps
from llm_magics.views.figures import grid
from llm_magics.views.figures.board import Board, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

HEIGHT = 320  # px
_NAMED = 8  # settings; more have no room in a legend and are named on hovering


def sweep_figure(sweep: Sweep, *, bare: bool = False) -> Any:
    """A sweep as a plotly Figure; a `bare` one has no title and no table."""
    table = sweeps.table(sweep, brief=True)
    rows = [HEIGHT] + [grid.height(table)] * (not bare)
    title = f"<b>{plain(', '.join(next(iter(sweep.settings.values()), {})))}</b> swept"
    board = Board("" if bare else title, "" if bare else plain(sweep.headline, 160), rows, table=not bare)
    gain, unit = sweep.gain, METRICS[sweep.gain].unit
    said = "Output throughput" if gain == TOKENS else METRICS[gain].title
    panel = board.panel(0, 0, 1, f"<b>{said}</b> against latency  up and left is better", x="", y=unit)
    labels = list(sweep.runs)
    front = sweep.front()
    panel.add(
        x=_values(front, LATENCIES[0]), y=_values(front, gain), mode="lines+markers",
        name="Pareto front", line={"color": palette.GOLD, "width": 2, "dash": "dot"},
        marker={"size": 15, "symbol": "circle-open", "color": palette.GOLD, "line": {"width": 2}}, cliponaxis=False,
        text=[plain(point.name) for point in front],
        hovertemplate="on the front: <b>%{text}</b><extra></extra>",
    )  # fmt: skip
    for number, label in enumerate(labels):  # above the front, whose rings would hide their colours
        points = [point for point in sweep.points if point.setting == label]
        panel.add(
            x=_values(points, LATENCIES[0]), y=_values(points, gain), mode="lines+markers+text",
            textposition=[*["bottom right"] * (len(points) - 1), "bottom left"],
            textfont={"size": 10, "color": palette.TEXT},
            name=plain(label), line={"color": palette.series(number), "width": 1.5},
            marker={"size": 9, "symbol": palette.symbol(number), "color": palette.series(number)}, cliponaxis=False,
            text=[plain(point.load) for point in points],
            hovertemplate=f"<b>{plain(label)}</b>, %{{text}}<br>%{{y:,.4~g}} {unit} at %{{x:,.4~g}} ms<extra></extra>",
        )  # fmt: skip
    named = [(plain(label), palette.series(number)) for number, label in enumerate(labels[:_NAMED])]
    panel.legend([*named, ("Pareto front", palette.GOLD)])
    panel.axis("x").update(rangemode="tozero", title={"text": _title(LATENCIES[0]), "font": {"size": 11}})
    panel.axis("y").update(rangemode="tozero")
    panel.buttons([_button(sweep, labels, latency, panel.name) for latency in LATENCIES])
    if not bare:
        grid.grid(board, 1, table)
    return board.figure()


def _button(sweep: Sweep, labels: Sequence[str], latency: str, name: str) -> dict[str, Any]:
    """What changes with the latency: every line's places, the front, the axis' title."""
    parts = [[point for point in sweep.points if point.setting == label] for label in labels]
    front = sweep.front(latency)
    traces = {
        "x": [_values(front, latency), *(_values(points, latency) for points in parts)],
        "y": [_values(front, sweep.gain), *(_values(points, sweep.gain) for points in parts)],
        "text": [[plain(each.name) for each in front], *([plain(each.load) for each in points] for points in parts)],
    }
    axis = {f"xaxis{name}.title.text": _title(latency), f"xaxis{name}.autorange": True}
    short = METRICS[latency].title.split(" ")[0]
    return {"label": short, "method": "update", "args": [traces, axis, list(range(len(labels) + 1))]}


def _values(points: Sequence[Point], key: str) -> list[float | None]:
    return [point.value(key) for point in points]


def _title(latency: str) -> str:
    return f"{METRICS[latency].title}, ms"
