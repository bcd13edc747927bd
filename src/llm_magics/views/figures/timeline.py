"""The timeline of a run: requests in flight as the client saw them, and the server's own queue and KV cache beside it.

Both stand on one clock, so that a reader sees whether requests waited in the server or never reached it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm_magics.results.columns import Columns
from llm_magics.results.records import ServerSample
from llm_magics.results.timeline import in_flight
from llm_magics.views import palette
from llm_magics.views.figures.board import Board, Panel, plain
from llm_magics.views.figures.load_axis import chosen

STEPS = 120  # most points of a line; more cannot be told apart in a panel

SERVER_LINES = {"running": ("running", palette.TEAL), "waiting": ("queued", palette.ORANGE)}


def timeline(
    board: Board,
    row: int,
    span: tuple[float, float],
    columns: Columns,
    samples: Sequence[ServerSample],
    starts: Sequence[tuple[float, str, str]],
) -> None:
    """One panel over the time of the run.

    Parameters
    ----------
    columns
        Every request, warm-up included: it was in flight too.
    samples
        The server's own metrics.
    starts
        When each sweep point began (s), its name and its colour.
    """
    panel = board.panel(row, *span, "<b>Requests in flight</b>", x="time, s", y="requests")
    times, running = _thinned(*in_flight(columns))
    legend = [("in flight", palette.BLUE)]
    panel.add(
        x=times,
        y=running,
        mode="lines",
        line={"color": palette.BLUE, "width": 1.5, "shape": "hv"},
        fill="tozeroy",
        fillcolor=palette.faded(palette.BLUE, 0.12),
        name="in flight",
        hovertemplate="%{x:.2f} s<br><b>%{y:.3~g}</b> in flight<extra></extra>",
    )
    for key, (name, colour) in SERVER_LINES.items():
        if line := _line(samples, key):
            legend.append((name, colour))
            panel.add(
                x=line[0],
                y=line[1],
                mode="lines",
                line={"color": colour, "width": 1.5, "shape": "hv"},
                name=name,
                hovertemplate=f"%{{x:.2f}} s<br><b>%{{y:.3~g}}</b> {name}<extra></extra>",
            )
    if line := _line(samples, "kv_usage"):
        legend.append(("KV cache (right)", palette.PURPLE))
        _cache(panel, line)
    panel.legend(legend)
    if len(starts) > 1 and times:
        _separators(panel, starts, times[-1])
        _zoom(panel, starts, times[-1])


def _cache(panel: Panel, line: tuple[list[float], list[float]]) -> None:
    right = f"y{panel.name}9"
    panel.board.axes[f"yaxis{panel.name}9"] = {
        **{key: value for key, value in panel.axis("y").items() if key not in ("domain", "anchor", "gridcolor")},
        "overlaying": f"y{panel.name}", "anchor": f"x{panel.name}", "side": "right", "showgrid": False,
        "range": [0, 1.02], "tickvals": [0, 0.5, 1], "ticktext": ["0 %", "50 %", "100 %"], "title": {"text": ""},
    }  # fmt: skip
    panel.board.traces.append(
        {"type": "scatter", "xaxis": f"x{panel.name}", "yaxis": right, "x": line[0], "y": line[1], "mode": "lines",
         "line": {"color": palette.PURPLE, "width": 1.5, "shape": "hv"}, "name": "KV cache",
         "hovertemplate": "%{x:.2f} s<br>KV cache <b>%{y:.1%}</b> in use<extra></extra>"}
    )  # fmt: skip


def _separators(panel: Panel, starts: Sequence[tuple[float, str, str]], end: float) -> None:
    """Where each point began, with its name where there is room for it."""
    for (moment, name, colour), (following, _, _) in zip(starts, [*starts[1:], (end, "", "")], strict=True):
        panel.board.shapes.append(
            {"type": "line", "xref": f"x{panel.name}", "yref": f"y{panel.name} domain", "x0": moment, "x1": moment,
             "y0": 0, "y1": 1, "line": {"color": colour, "width": 1}, "layer": "below"}
        )  # fmt: skip
        if following - moment > 0.15 * (end - starts[0][0]):
            panel.board.notes.append(
                {"text": plain(name), "xref": f"x{panel.name}", "yref": f"y{panel.name} domain", "x": moment, "y": 1,
                 "xanchor": "left", "yanchor": "top", "xshift": 2, "showarrow": False, "font": {"color": colour}}
            )  # fmt: skip


def _zoom(panel: Panel, starts: Sequence[tuple[float, str, str]], end: float) -> None:
    """Buttons that show one point's part of the time: the points of a sweep rarely take equally long."""
    ends = [moment for moment, _, _ in starts[1:]] + [end]
    spans = [("all", starts[0][0], end)]
    for place in chosen(len(starts)):
        moment, name, _ = starts[place]
        spans.append((plain("∞" if name == "all at once" else name.split(" ")[0], 6), moment, ends[place]))
    axis = f"xaxis{panel.name}.range"
    panel.buttons(
        [{"label": label, "method": "relayout", "args": [{axis: [start, stop]}]} for label, start, stop in spans]
    )


def _thinned(times: NDArray[np.float64], running: NDArray[Any]) -> tuple[list[float], list[float]]:
    """The step function itself while it is short, else its mean over equal slices of time."""
    if len(times) <= STEPS:
        return [float(value) for value in times], [float(value) for value in running]
    edges = np.linspace(times[0], times[-1], STEPS + 1)
    area = np.concatenate([[0.0], np.cumsum(running[:-1] * np.diff(times))])
    means = np.diff(np.interp(edges, times, area)) / np.diff(edges)
    return [float(value) for value in edges[:-1]], [float(value) for value in means]


def _line(samples: Sequence[ServerSample], key: str) -> tuple[list[float], list[float]] | None:
    """One metric over time, thinned; None where the server does not publish it."""
    pairs = [(sample.t, sample.values[key]) for sample in samples if key in sample.values]
    if not pairs:
        return None
    stride = -(-len(pairs) // STEPS)
    kept = [*pairs[::stride], *([pairs[-1]] if (len(pairs) - 1) % stride else [])]
    return [moment for moment, _ in kept], [float(value) for _, value in kept]
