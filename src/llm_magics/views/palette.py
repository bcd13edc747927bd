"""The one set of colours, and why these: they must read on JupyterLab's white and on its near-black page.

Series colours have a relative luminance between 0.12 and 0.30, which gives a contrast of 3:1 (WCAG 2.2, 1.4.11)
against both pages, and the first six stay apart under protanopia and deuteranopia (CIE76 distance over 15 after the
matrices of Machado et al. 2009); `tests/unit/views/test_palette.py` computes
both. Text and grid are translucent greys, so that a figure needs no knowledge of the theme.
"""

from __future__ import annotations

SERIES = ("#3f86e0", "#d9731a", "#1a9f97", "#8034d6", "#be3168", "#319f55", "#b5851a", "#7f8896")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "pentagon")  # colour is never alone

BLUE, ORANGE, TEAL, PURPLE, ROSE, GREEN, GOLD, SLATE = SERIES

GOOD = "#2a9d5f"
WARN = "#c27c0e"
BAD = "#d64545"

TEXT = "#808890"  # between the two themes' text colours
GRID = "rgba(128,136,144,0.18)"
LINE = "rgba(128,136,144,0.45)"
CLEAR = "rgba(0,0,0,0)"

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def series(index: int) -> str:
    """The colour of the n-th series; the eight repeat."""
    return SERIES[index % len(SERIES)]


def symbol(index: int) -> str:
    """The marker of the n-th series."""
    return SYMBOLS[index % len(SYMBOLS)]


def faded(colour: str, alpha: float) -> str:
    """A colour of this palette (`#rrggbb`) with an opacity, as CSS and Plotly write it."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"
