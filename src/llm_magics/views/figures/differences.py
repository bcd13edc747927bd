"""Differences with their intervals: how far each side lies from the first, and whether zero is among what may be true.

Two error bars that overlap say little about a difference; this panel shows the difference itself, as the verdict
judges it. A mark has the colour of the side that is ahead, or is hollow and grey where that is not certain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llm_magics.results.effects import Effect
from llm_magics.results.metrics import METRICS
from llm_magics.results.wording import winner, words
from llm_magics.views import palette
from llm_magics.views.figures.board import Board, Panel, plain

MOST = 8  # loads that a metric has room for; of more, and of three sides or more, only the heaviest is shown


def differences(
    board: Board, row: int, span: tuple[float, float], effects: Sequence[Effect], colours: Mapping[str, str]
) -> None:
    """A panel of the effects against the first side; `colours` are the sides' colours, the first side's first."""
    base = next(iter(colours))
    shown = [effect for effect in effects if effect.base == base and effect.low is not None]
    loads = list(dict.fromkeys(effect.point for effect in shown))
    several = len(loads) > 1
    if len(colours) > 2 or len(loads) > MOST:
        shown, several = [effect for effect in shown if effect.point == loads[-1]], False
    metrics = list(dict.fromkeys(effect.metric for effect in shown))
    others = plain(list(colours)[1]) if len(colours) == 2 else f"each at {plain(loads[-1] if loads else '')},"
    panel = board.panel(
        row,
        *span,
        f"<b>Difference</b>  {others} relative to {plain(base)}",
        x=f"%, 95 % interval; {plain(loads[0])} on top" if several else "%, with 95 % interval",
        yaxis={
            "tickvals": list(range(len(metrics))),
            "ticktext": [METRICS[metric].title.removesuffix(", steady") for metric in metrics],
            "range": [len(metrics) - 0.4, -0.6],
            "rangemode": "normal",
        },
        xaxis={"ticksuffix": " %", "range": _range(shown)},
    )
    ahead = " ahead" if len(colours) <= 3 else ""  # of more there is room for the names alone
    panel.legend(
        [(f"{plain(label)}{ahead}", colour) for label, colour in colours.items()] + [("uncertain", palette.SLATE)]
    )
    board.shapes.append(
        {"type": "line", "xref": f"x{panel.name}", "yref": f"y{panel.name} domain", "x0": 0, "x1": 0, "y0": 0, "y1": 1,
         "line": {"color": palette.LINE, "width": 1.5}}
    )  # fmt: skip
    levels = _levels(shown, metrics)
    for label, colour in [*colours.items(), ("", palette.SLATE)]:
        group = [place for place, effect in enumerate(shown) if _ahead(effect) == label]
        if group:
            symbols = [palette.symbol(list(colours).index(shown[place].other)) for place in group]
            marker = {"size": 8, "color": colour, "symbol": [symbol + "-open" * (not label) for symbol in symbols]}
            _marks(panel, [shown[place] for place in group], [levels[place] for place in group], marker)


def _range(effects: Sequence[Effect]) -> list[float]:
    """All differences and, as far as one wide interval does not squeeze the others, their intervals; %."""
    lows = [100 * (effect.low or 0.0) for effect in effects]
    highs = [100 * (effect.high or 0.0) for effect in effects]
    largest = max((abs(100 * effect.difference) for effect in effects), default=0.0)
    left = max(min([-5.0, *lows]), -100.0)
    right = min(max([5.0, *highs]), max(200.0, 1.5 * largest))
    margin = 0.04 * (right - left)
    return [round(left - margin, 1), round(right + margin, 1)]


def _levels(effects: Sequence[Effect], metrics: Sequence[str]) -> list[float]:
    """A height for each effect: its metric's line, spread over it from the lightest load (top) to the heaviest."""
    found = []
    for effect in effects:
        alike = [each for each in effects if each.metric == effect.metric]
        step = 0.7 / len(alike)
        found.append(round(metrics.index(effect.metric) + (alike.index(effect) - (len(alike) - 1) / 2) * step, 3))
    return found


def _ahead(effect: Effect) -> str:
    """Who is certainly ahead; nobody: ""."""
    return winner(effect) if effect.outcome == "different" else ""


def _marks(panel: Panel, effects: Sequence[Effect], levels: Sequence[float], marker: dict[str, Any]) -> None:
    ends = [((effect.low or 0.0) * 100, effect.difference * 100, (effect.high or 0.0) * 100) for effect in effects]
    panel.add(
        x=[value for _, value, _ in ends],
        y=list(levels),
        mode="markers",
        marker=marker,
        error_x={
            "type": "data", "symmetric": False, "array": [high - value for _, value, high in ends],
            "arrayminus": [value - low for low, value, _ in ends], "color": marker["color"], "thickness": 1.5,
            "width": 0,
        },
        text=[f"{plain(effect.other)}, {plain(effect.point)}: {plain(words(effect), 160)}" for effect in effects],
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip
