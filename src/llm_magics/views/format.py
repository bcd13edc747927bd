"""Numbers as people read them: three significant digits, thousands apart, the unit always there.

Everything shown goes through here, so that a table, a card and a figure never write one number in two ways.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from llm_magics.printable import visible as visible

NOTHING = "\u2013"  # an en dash: what stands where there is no value


def number(value: float | None, digits: int = 3) -> str:
    """A number with `digits` significant digits and thousands apart: `1,234`, `12.3`, `0.123`; else `NOTHING`."""
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    rounded = round(value, decimals)
    if rounded and math.floor(math.log10(abs(rounded))) > math.floor(math.log10(abs(value))):
        decimals = max(0, decimals - 1)  # 9.996 became 10.00: one decimal less
    if value == int(value) and abs(value) < 10**digits:
        decimals = 0
    return f"{value:,.{decimals}f}"


def count(value: float | None) -> str:
    """A whole number with thousands apart: `1,234`."""
    return NOTHING if value is None or not math.isfinite(value) else f"{round(value):,}"


def tokens_per_s(value: float | None) -> str:
    """A token throughput: `1,234 tok/s`."""
    return _with_unit(value, "tok/s")


def requests_per_s(value: float | None) -> str:
    """A request throughput: `12.3 req/s`."""
    return _with_unit(value, "req/s")


def milliseconds(value: float | None) -> str:
    """A latency given in milliseconds: `0.42 ms`, `12.3 ms`, `1,234 ms`, and from ten seconds on `12.3 s`."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{number(value / 1000)} s" if abs(value) >= 10_000 else f"{number(value)} ms"


def latency(seconds: float | None) -> str:
    """A latency given in seconds, written as `milliseconds` does."""
    return milliseconds(None if seconds is None else seconds * 1000)


def limits(slo: Mapping[str, float]) -> str:
    """An SLO, its limits given in seconds: `TTFT ≤ 250 ms, TPOT ≤ 50 ms`."""
    return ", ".join(f"{key.upper()} ≤ {latency(limit)}" for key, limit in slo.items())


def threshold(value: float, unit: str) -> str:
    """What an alert compares with, by its unit (see `monitor.alerts.with_units`): `2s`, `95 %`, `500 MB`, `0.1/s`."""
    if unit == "s":
        from llm_magics.spec.quantities import (
            in_words,  # here: it brings pydantic, for which a list of servers is too quick
        )

        return in_words(value)
    if unit == "share":
        return f"{value * 100:g} %"
    if unit == "bytes":
        return f"{value / 1e6:g} MB"
    return f"{value:g}/s" if unit == "1/s" else f"{value:g} {unit}"


def duration(seconds: float | None) -> str:
    """How long something took or will take: `0.4 s`, `12 s`, `2 min 05 s`, `1 h 03 min`, `2 d 4 h`."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def ago(moment: float | None, now: float | None = None) -> str:
    """How long ago a moment (s since the epoch) was: `2 min ago`, `just now`."""
    if moment is None:
        return NOTHING
    seconds = (time.time() if now is None else now) - moment
    if seconds < 5:
        return "just now"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return f"{int(seconds)} s ago"


def size(number_of_bytes: float | None) -> str:
    """Memory: `512 MiB`, `23.9 GiB`."""
    if number_of_bytes is None or not math.isfinite(number_of_bytes):
        return NOTHING
    value = float(number_of_bytes)
    for unit in ("B", "KiB", "MiB"):
        if abs(value) < 1000:
            return f"{number(value)} {unit}"
        value /= 1024
    return f"{number(value)} GiB"


def percent(fraction: float | None) -> str:
    """A share: `93 %`, `99.5 %`; only what is whole reads `100 %`, only what is none reads `0 %`."""
    if fraction is None or not math.isfinite(fraction):
        return NOTHING
    value = fraction * 100
    if value in (0, 100) or abs(value) > 100:
        return f"{value:,.0f} %"
    if 99 < value < 100 or 0 < value < 10:
        shown = math.floor(value * 10) / 10 if value > 99 else round(value, 1)
        return f"{shown:g} %" if shown else "< 0.1 %"
    return f"{value:.0f} %"


def change(ratio: float | None) -> str:
    """A relative difference with its sign: `+12 %`, `-3.4 %`."""
    if ratio is None or not math.isfinite(ratio):
        return NOTHING
    value = ratio * 100
    return f"{value:+,.0f} %" if abs(value) >= 10 else f"{value:+.1f} %"


def _with_unit(value: float | None, unit: str) -> str:
    text = number(value)
    return text if text == NOTHING else f"{text} {unit}"


def shortened(text: str, width: int) -> str:
    """One line of at most `width` characters, cut in the middle, where names of models differ least."""
    line = " ".join(visible(text).split())
    if len(line) <= width:
        return line
    tail = (width - 1) * 2 // 5
    return f"{line[: width - 1 - tail]}…{line[len(line) - tail :]}"
