"""Live panels: one line a server, the limits that alerts compare with drawn in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from llm_magics.views import palette
from llm_magics.views.figures.board import Board, plain, spans

_ROW = 170  # px
_ACROSS = 2


@dataclass(frozen=True)
class Line:
    """One series: times in s since the epoch; `dashed` for the second kind of a panel (waiting beside running)."""

    name: str
    times: Sequence[float]
    values: Sequence[float]
    dashed: bool = False


@dataclass(frozen=True)
class Panel:
    """A panel: heading, unit of its axis, lines, and the limit of an alert, or None."""

    title: str
    unit: str
    lines: Sequence[Line]
    limit: float | None = None
    limit_says: str = ""


def panels(shown: Sequence[Panel], subtitle: str, *, now: float, span: float) -> Any:
    """The figure; None when there is no panel.

    Parameters
    ----------
    now, span
        s since the epoch, and how much before it is shown.
    """
    if not shown:
        return None
    rows = -(-len(shown) // _ACROSS)
    board = Board("<b>Servers, live</b>", plain(subtitle, 160), [_ROW] * rows)
    names = list(dict.fromkeys(line.name for panel in shown for line in panel.lines))
    colours = {name: palette.series(place) for place, name in enumerate(names)}
    edges = [_clock(now - span), _clock(now)]
    for place, each in enumerate(shown):
        left, right = spans(_ACROSS)[place % _ACROSS]
        panel = board.panel(
            place // _ACROSS, left, right, f"<b>{each.title}</b>", y=each.unit,
            xaxis={"type": "date", "range": edges, "tickformat": "%H:%M:%S", "nticks": 4},
        )  # fmt: skip
        for line in each.lines:
            panel.add(
                x=[_clock(moment) for moment in line.times],
                y=list(line.values),
                mode="lines",
                name=plain(line.name),
                line={"color": colours[line.name], "width": 1.6, "dash": "dot" if line.dashed else "solid"},
                hovertemplate=f"{plain(line.name)} <b>%{{y:.4~g}}</b> {each.unit}<extra></extra>",
            )
        if each.limit is not None:
            most = max((value for line in each.lines for value in line.values), default=0.0)
            panel.level(each.limit, each.limit_says, max(most, each.limit / 4))
        panel.legend([(plain(name, 20), colours[name]) for name in dict.fromkeys(line.name for line in each.lines)][:4])
    return board.figure()


def _clock(moment: float) -> str:
    """As Plotly wants a time: local, for that is what a person compares with."""
    return datetime.fromtimestamp(moment).strftime("%Y-%m-%d %H:%M:%S.%f")[:-5]  # noqa: DTZ006
