"""Where a value lies on an axis of one of our figures, for the static picture: ranges, logarithms, ticks.

Only what our own figures use is known here: linear, logarithmic and category axes, ticks given or chosen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_magics.views import format as fmt
from llm_magics.views.bundle import decoded


@dataclass
class Scale:
    """One axis with its place on the page (px).

    Attributes
    ----------
    which
        `x` or `y`.
    partner
        Layout key of the axis it is drawn at.
    low, high
        The range: values, logarithms to base 10, or numbers of categories.
    """

    which: str
    partner: str
    axis: Mapping[str, Any]
    left: float = 0.0
    right: float = 0.0
    top: float = 0.0
    bottom: float = 0.0
    low: float = 0.0
    high: float = 1.0
    categories: list[Any] = field(default_factory=list)

    @property
    def log(self) -> bool:
        """Whether the axis is logarithmic."""
        return self.axis.get("type") == "log"

    @property
    def side(self) -> str:
        """`right` for an axis drawn over another one."""
        return str(self.axis.get("side", ""))

    @property
    def title(self) -> str:
        """The axis title."""
        return str((self.axis.get("title") or {}).get("text", ""))

    def __call__(self, value: Any) -> float:
        """The place of a value, px."""
        if self.categories:
            number = float(self.categories.index(value))
        else:
            number = math.log10(max(float(value), 1e-12)) if self.log else float(value)
        return self.at_share((number - self.low) / ((self.high - self.low) or 1.0))

    def at_share(self, share: float) -> float:
        """The place at a share of the axis, from its start, px."""
        if self.which == "x":
            return self.left + share * (self.right - self.left)
        return self.bottom - share * (self.bottom - self.top)

    def ticks(self) -> list[tuple[Any, str]]:
        """Values and labels of the ticks inside the range."""
        if self.categories:
            return [(name, str(name)) for name in self.categories]
        if "tickvals" in self.axis:
            values = list(self.axis["tickvals"])
            return list(zip(values, self.axis.get("ticktext") or map(self._word, values), strict=True))
        if self.log:
            powers = range(math.ceil(self.low - 1e-9), math.floor(self.high + 1e-9) + 1)
            values = [10.0**power for power in powers]
            if len(values) < 2:
                values = [m * 10.0**p for p in range(math.floor(self.low), math.ceil(self.high) + 1) for m in (1, 2, 5)]
            inside = (value for value in values if self.low - 1e-9 <= math.log10(value) <= self.high + 1e-9)
            return [(value, self._word(value)) for value in inside]
        step = _nice((self.high - self.low) / (5 if self.which == "y" else 4))
        numbers = range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)
        return [(number * step, self._word(number * step)) for number in numbers]

    def _word(self, value: float) -> str:
        """A tick's label."""
        if "%" in str(self.axis.get("tickformat", "")):
            return fmt.percent(value)
        return fmt.number(value) + str(self.axis.get("ticksuffix", ""))


def scales(layout: Mapping[str, Any], traces: Sequence[Mapping[str, Any]], width: float) -> dict[str, Scale]:
    """The scales of a figure's panels, by layout key (`xaxis2`); the traces' `x` and `y` are lists."""
    margin = layout["margin"]
    inner_w, inner_h = width - margin["l"] - margin["r"], layout["height"] - margin["t"] - margin["b"]
    keys = [key for key in layout if key.startswith(("xaxis", "yaxis"))]
    found = {}
    for key in keys:
        axis = layout[key]
        partner = f"{axis['anchor'][0]}axis{axis['anchor'][1:]}"
        scale = Scale(key[0], partner, axis)
        across = axis if key[0] == "x" else layout[partner]
        up = layout[partner] if key[0] == "x" else layout.get(_key(axis.get("overlaying", ""))) or axis
        scale.left, scale.right = (margin["l"] + inner_w * share for share in across["domain"])
        scale.bottom, scale.top = (margin["t"] + inner_h * (1 - share) for share in up["domain"])
        _range(scale, _values(layout, traces, key))
        found[key] = scale
    return found


def _key(reference: str) -> str:
    return f"{reference[0]}axis{reference[1:]}" if reference else ""


def _values(layout: Mapping[str, Any], traces: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    letter, reference = key[0], key[0] + key.removeprefix(f"{key[0]}axis")
    values: list[Any] = []
    for trace in traces:
        if trace.get(f"{letter}axis") != reference or trace.get("visible") not in (None, True):
            continue
        own = [value for value in trace.get(letter) or () if value is not None]
        values += own
        error = trace.get(f"error_{letter}") or {}
        for key, sign in (("array", 1), ("arrayminus", -1)):
            if error.get(key):
                pairs = zip(trace[letter], decoded(error[key]), strict=False)
                values += [value + sign * more for value, more in pairs if value is not None and more is not None]
    for shape in layout.get("shapes", ()):
        if shape.get(f"{letter}ref") == reference and shape.get("visible") is not False:
            values += [shape[f"{letter}0"]]
    return values


def _range(scale: Scale, values: Sequence[Any]) -> None:
    if scale.axis.get("type") == "category":
        scale.categories = list(dict.fromkeys(values))
        scale.low, scale.high = -0.3, len(scale.categories) - 0.7
        return
    if given := scale.axis.get("range"):
        scale.low, scale.high = given
        return
    numbers = [float(value) for value in values if not isinstance(value, str)]
    if scale.log:
        numbers = [math.log10(value) for value in numbers if value > 0]
    if not numbers:
        return
    scale.low, scale.high = min(numbers), max(numbers)
    if scale.which == "y" and not scale.log and scale.axis.get("rangemode") == "tozero":
        scale.low = min(0.0, scale.low)
    room = (scale.high - scale.low) * 0.05 or 0.5
    scale.high += room if scale.which == "y" else 0
    if scale.log and scale.which == "y":
        scale.low -= room


def _nice(step: float) -> float:
    """The next larger of 1, 2, 5 times a power of ten."""
    if step <= 0 or not math.isfinite(step):
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))
