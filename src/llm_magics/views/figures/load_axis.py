"""The load axis of a sweep: where each point lies, and how the axis reads.

Rates and concurrencies are usually written as powers of two, so from a spread of 8 on the axis is logarithmic. An
infinite rate (`all at once`) has no place on any scale: then the axis is one of categories.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from llm_magics.views import format as fmt

_GAP, _LETTER = 0.04, 0.025  # of an axis' length: between two labels, and of each letter of the longest


def load_axis(points: Sequence[Mapping[str, Any]]) -> tuple[list[Any], str, dict[str, Any]]:
    """Positions of the points, the axis title, and the axis' layout.

    Parameters
    ----------
    points
        Summary mappings: `max_concurrency` or `request_rate` (a number, or `inf`), `label`.
    """
    streams = [point.get("max_concurrency") for point in points]
    if all(isinstance(value, (int, float)) for value in streams):
        return (*_numeric([float(value) for value in streams if value is not None], "concurrent streams"),)
    rates = [point.get("request_rate") for point in points]
    if all(isinstance(value, (int, float)) and math.isfinite(value) for value in rates):
        return (*_numeric([float(value) for value in rates if value is not None], "request rate, req/s"),)
    rated = all(rate == "inf" or isinstance(rate, (int, float)) for rate in rates)
    names = [_rate(rate) if rated else str(point.get("label") or "") for rate, point in zip(rates, points, strict=True)]
    if len(set(names)) < len(names):
        names = [f"{number}: {name}" for number, name in enumerate(names, 1)]
    axis = {"type": "category", "range": [-0.3, len(names) - 0.7]}
    return names, "request rate, req/s (∞: all at once)" if rated else "load", axis


def chosen(count: int, most: int = 4) -> list[int]:
    """At most `most` of `count` points, the first and the last among them: more curves in a panel tell less."""
    if count <= most:
        return list(range(count))
    return sorted({round(place * (count - 1) / (most - 1)) for place in range(most)})


def _rate(rate: Any) -> str:
    return "∞" if rate == "inf" or math.isinf(rate) else fmt.number(float(rate))


def _numeric(values: list[float], title: str) -> tuple[list[Any], str, dict[str, Any]]:
    least, most = min(values), max(values)
    logarithmic = least > 0 and most / least >= 8
    marked = _apart(sorted(set(values)), logarithmic=logarithmic)
    ticks = {"tickmode": "array", "tickvals": marked, "ticktext": [fmt.number(value) for value in marked]}
    if logarithmic:
        low, high = math.log10(least), math.log10(most)
        edge = (high - low) * 0.07
        return values, title, {**ticks, "type": "log", "range": [low - edge, high + edge]}
    edge = (most - least) * 0.07 or most * 0.5 or 1
    return values, title, {**ticks, "range": [least - edge, most + edge]}


def _apart(values: Sequence[float], *, logarithmic: bool) -> list[float]:
    """Those of some ascending values whose labels do not touch: the loads of a search lie close together."""
    places = [math.log(value) for value in values] if logarithmic else list(values)
    letters = max(len(fmt.number(value)) for value in values)
    least = (_GAP + _LETTER * letters) * (places[-1] - places[0])
    kept = [len(values) - 1]
    for number in range(len(values) - 2, -1, -1):
        if places[kept[-1]] - places[number] >= least:
            kept.append(number)
    return [values[number] for number in reversed(kept)]
