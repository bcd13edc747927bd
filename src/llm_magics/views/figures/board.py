"""A figure made of panels: where they lie, how their axes look. All figures use it, so they look alike.

Rows have heights in pixels and columns shares of the width, because a notebook's column has a known look but no known
width. Axes are laid out by hand and not by `make_subplots`: a right axis, a table below and titles at the left need
their places anyway, and the JSON stays half as long.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_magics.views import palette

MARGIN = {"l": 56, "r": 20, "t": 104, "b": 8}
GAP = 100  # px between rows: ticks and title of the axis above, heading and legend of the panel below
BEFORE_TABLE = 58


FAR = 2.5  # a limit so many times the data's largest is named at the edge, not drawn: it would press the data flat
LEGIBLE = 100  # characters of a subtitle's line: those that a notebook beside an open sidebar has room for
SUBTITLE = 16  # px of each line more
TITLE = 22  # px of each line more
SIDES = " &nbsp;&nbsp;"  # between the parts of a legend
HEADING = 18  # px that a panel's heading stands above it
LEGENDED = 37  # with a legend between them
LEGEND = 16


@dataclass
class Board:
    """Panels under a title.

    Parameters
    ----------
    title, subtitle
        Two lines at the top left; Plotly's own tags (`<b>`) are allowed, user's text must have gone through `plain`.
    rows
        Height of each row, px.
    table
        Whether the last row is a table, which needs less room above it.
    """

    title: str
    subtitle: str
    rows: Sequence[int]
    table: bool = False
    traces: list[dict[str, Any]] = field(default_factory=list)
    shapes: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    axes: dict[str, dict[str, Any]] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    count: int = 0
    crowded: bool = False  # whether panels of the first row have a line under their heading

    @property
    def inner(self) -> int:
        """Height of the plotting area, px."""
        return sum(self.rows) + sum(map(self._gap, range(len(self.rows))))

    def place(self, row: int) -> tuple[float, float]:
        """The vertical domain of a row, as Plotly counts it: from the bottom."""
        above = sum(self.rows[:row]) + sum(map(self._gap, range(row + 1)))
        top = 1 - above / self.inner
        return max(0.0, round(top - self.rows[row] / self.inner, 4)), round(top, 4)

    def panel(
        self, row: int, left: float, right: float, heading: str, *, x: str = "", y: str = "", **axes: Any
    ) -> Panel:
        """A panel from `left` to `right` (shares of the width) with a heading; `x`, `y` title its axes.

        `axes` may hold `xaxis` and `yaxis`: mappings that override how an axis looks.
        """
        self.count += 1
        name = "" if self.count == 1 else str(self.count)
        bottom, top = self.place(row)
        self.axes[f"xaxis{name}"] = {
            **_X, "domain": [left, right], "anchor": f"y{name}",
            "title": {"text": x, "standoff": 6, "font": {"size": 11}}, **axes.get("xaxis", {}),
        }  # fmt: skip
        self.axes[f"yaxis{name}"] = {
            **_Y, "domain": [bottom, top], "anchor": f"x{name}",
            "title": {"text": y, "standoff": 6, "font": {"size": 11}}, **axes.get("yaxis", {}),
        }  # fmt: skip
        self.note(heading, left, top, yshift=HEADING, font={"size": 13})
        return Panel(self, name, left, right, bottom, top, len(self.notes) - 1)

    def _gap(self, row: int) -> int:
        """Pixels above a row."""
        return 0 if row == 0 else BEFORE_TABLE if self.table and row == len(self.rows) - 1 else GAP

    def note(self, text: str, x: float, y: float, **more: Any) -> None:
        """A text on the page; `x`, `y` are shares of the plotting area."""
        self.notes.append(
            {"text": text, "x": x, "y": y, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "middle",
             "showarrow": False, **more}
        )  # fmt: skip

    def figure(self) -> Any:
        """The plotly Figure."""
        import plotly.graph_objects as go

        top = MARGIN["t"] if self.subtitle else MARGIN["t"] - 24 if self.title else 40
        lines = _lines(self.subtitle)
        breaks = self.title.count("<br>")
        top += 20 * self.crowded + SUBTITLE * (len(lines) - 1) + TITLE * breaks
        margin = {**MARGIN, "t": top, "b": MARGIN["b"] if self.table else 44}
        layout = {
            "title": {
                "text": self.title, "x": 0, "xref": "container", "xanchor": "left", "y": 1, "yref": "container",
                "yanchor": "top", "pad": {"t": 12 + TITLE * breaks // 2, "l": MARGIN["l"]},
                "font": {"size": 16 if self.subtitle else 12},
                "subtitle": {"text": "<br>".join(lines), "font": {"size": 12, "color": palette.TEXT}},
            },
            "height": self.inner + margin["t"] + margin["b"],
            "margin": margin,
            "paper_bgcolor": palette.CLEAR,
            "plot_bgcolor": palette.CLEAR,
            "font": {"family": palette.FONT, "size": 11, "color": palette.TEXT},
            "hovermode": "closest",
            "hoverlabel": {"bgcolor": "#2b3138", "bordercolor": "#2b3138", "font": {"color": "#fff", "size": 12}},
            "modebar": {"bgcolor": palette.CLEAR, "color": palette.LINE, "activecolor": palette.BLUE},
            "showlegend": False,
            "shapes": self.shapes,
            "annotations": self.notes,
            **self.axes,
            **self.extra,
        }  # fmt: skip
        return go.Figure({"data": self.traces, "layout": {**layout, "template": "none"}})


def _lines(subtitle: str) -> list[str]:
    """A subtitle's parts, as many in a line as are legible: Plotly cuts off what is wider than the page."""
    lines: list[str] = []
    between = SIDES if SIDES in subtitle else " · "
    for part in subtitle.split(between):
        longer = f"{lines[-1]}{between}{part}" if lines else part
        if lines and len(re.sub("<[^>]*>", "", longer.replace("&nbsp;", " "))) <= LEGIBLE:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines


@dataclass(frozen=True)
class Panel:
    """One panel of a board; `name` is the suffix of its axes."""

    board: Board
    name: str
    left: float
    right: float
    bottom: float
    top: float
    heading: int  # which of the board's notes the heading is

    def add(self, kind: str = "scatter", **trace: Any) -> None:
        """Draw a trace in the panel."""
        self.board.traces.append({"type": kind, "xaxis": f"x{self.name}", "yaxis": f"y{self.name}", **trace})

    def level(self, value: float, text: str, most: float) -> None:
        """A horizontal limit with its name, e.g. an SLO; one far above `most`, the data's largest, is only named.

        The name stands on the line; under it where the axis ends there.
        """
        near = value <= FAR * most
        place = {"yref": f"y{self.name}", "y0": value, "y1": value}
        beyond = {"yref": f"y{self.name} domain", "y0": 0.92, "y1": 0.92}
        along = {"xref": f"x{self.name} domain", "x0": 0, "x1": 1, **(place if near else beyond)}
        self._limit(along, text, near, "↑", yanchor="top" if near and value > most else "bottom")

    def upright(self, value: float, text: str, most: float, **more: Any) -> None:
        """The same, vertical; the name stands where there is room for it, on a logarithmic axis too."""
        near = value <= FAR * most
        place = {"xref": f"x{self.name}", "x0": value, "x1": value}
        beyond = {"xref": f"x{self.name} domain", "x0": 0.97, "x1": 0.97}
        across = {"yref": f"y{self.name} domain", "y0": 0, "y1": 1, **(place if near else beyond)}
        self._limit(across, text, near, "→", textangle=0, xanchor="left" if value < 0.35 * most else "right")
        self.board.shapes[-1].update(more)

    def _limit(self, place: dict[str, Any], text: str, near: bool, arrow: str, **label: Any) -> None:
        line = {"color": palette.BAD, "width": 1.2 if near else 0, "dash": "dot"}
        words = text if near else f"{text} {arrow}"
        font = {"size": 11, "color": palette.BAD}
        shown = {"text": words, "textposition": "start", "yanchor": "bottom", "font": font, **label}
        self.board.shapes.append({"type": "line", **place, "line": line, "layer": "below", "label": shown})

    def legend(self, lines: Sequence[tuple[str, str]]) -> None:
        """Names of the lines in their colours, in a row under the heading."""
        self.subheading(" &nbsp;&nbsp;".join(f'<span style="color:{colour}">━</span> {name}' for name, colour in lines))

    def subheading(self, text: str) -> None:
        """A line under the heading."""
        self.board.notes[self.heading]["yshift"] = LEGENDED
        self.board.note(text, self.left, self.top, yshift=LEGEND)
        if self.top == 1:
            self.board.crowded = True

    def buttons(self, choices: Sequence[Mapping[str, Any]]) -> None:
        """Plotly's own buttons at the panel's top right; each a mapping of label, method and args."""
        self.board.extra.setdefault("updatemenus", []).append(
            {"type": "buttons", "direction": "right", "buttons": list(choices), "showactive": False, "x": self.right,
             "y": self.top, "xanchor": "right", "yanchor": "bottom", "pad": {"r": 0, "t": 0, "b": 22, "l": 0},
             "bgcolor": palette.CLEAR, "bordercolor": palette.LINE, "borderwidth": 0.5, "font": {"size": 11}}
        )  # fmt: skip

    def axis(self, which: str) -> dict[str, Any]:
        """The layout of the panel's `x` or `y` axis, to be changed."""
        return self.board.axes[f"{which}axis{self.name}"]


def plain(text: object, width: int = 80) -> str:
    """A user's or engine's text for a title, a label or a hover: Plotly reads tags there, so none is left."""
    from llm_magics.views.format import shortened

    return shortened(str(text), width).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def spans(count: int, gap: float = 0.085) -> list[tuple[float, float]]:
    """Left and right edges of `count` equal columns."""
    width = (1 - gap * (count - 1)) / count
    return [(round(place * (width + gap), 4), round(place * (width + gap) + width, 4)) for place in range(count)]


_X: dict[str, Any] = {
    "showgrid": False,
    "zeroline": False,
    "showline": True,
    "linecolor": palette.LINE,
    "separatethousands": True,
}
_Y: dict[str, Any] = {"gridcolor": palette.GRID, "zeroline": False, "rangemode": "tozero", "separatethousands": True}
