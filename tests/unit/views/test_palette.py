"""The palette's two promises, computed: legible on both pages, apart for those who see no red or no green."""

from __future__ import annotations

import math
from itertools import combinations

import pytest

from llm_magics.views import palette

# Machado, Oliveira, Fernandes 2009, severity 1.
VISION = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
}


def linear(colour: str) -> list[float]:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def luminance(colour: str) -> float:
    red, green, blue = linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def lab(rgb: list[float]) -> tuple[float, float, float]:
    red, green, blue = rgb
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883
    f = [max(t, 0) ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z)]
    return 116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])


@pytest.mark.parametrize("colour", [*palette.SERIES, palette.GOOD, palette.WARN, palette.BAD, palette.TEXT])
def test_colours_stand_out_on_white_and_on_black(colour: str) -> None:
    light = luminance(colour)
    assert 1.05 / (light + 0.05) >= 3
    assert (light + 0.05) / (luminance("#111111") + 0.05) >= 3


@pytest.mark.parametrize("vision", VISION)
def test_the_first_six_series_are_told_apart(vision: str) -> None:
    seen = []
    for colour in palette.SERIES[:6]:
        rgb = linear(colour)
        seen.append(lab([sum(row[place] * rgb[place] for place in range(3)) for row in VISION[vision]]))
    assert min(math.dist(*pair) for pair in combinations(seen, 2)) > 15


def test_every_series_has_a_marker_of_its_own() -> None:
    assert len(set(palette.SYMBOLS)) == len(palette.SERIES)
    assert palette.faded("#ff0000", 0.5) == "rgba(255,0,0,0.5)"
