"""Requests as they once came to a real service: when, how long, and what they shared.

Three public formats: Mooncake's JSONL (`timestamp` in ms, `input_length`, `output_length`, `hash_ids`: one id a block
of 512 tokens, the same id for the same text after the same beginning), BurstGPT's CSV (`Timestamp` in s, `Request
tokens`, `Response tokens`) and Azure's (`TIMESTAMP`, `ContextTokens`, `GeneratedTokens`). Times are honoured: they
count from the start of the window (of the first request, where none is given), are divided by `speed`, and nothing is
left out between.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from llm_magics.errors import SpecError
from llm_magics.load.brought import json_lines, table, text_of
from llm_magics.spec.arrivals import Window
from llm_magics.spec.reading import nearest
from llm_magics.spec.workload import Workload

BLOCK = 512  # tokens a Mooncake id stands for

# Format -> columns for the time, the prompt's tokens, the answer's tokens; what a time of 1 is in seconds.
_FORMATS: dict[str, tuple[tuple[str, str, str], float]] = {
    "mooncake": (("timestamp", "input_length", "output_length"), 1e-3),
    "burstgpt": (("Timestamp", "Request tokens", "Response tokens"), 1.0),
    "azure": (("TIMESTAMP", "ContextTokens", "GeneratedTokens"), 1.0),
}

_MOMENT = re.compile(r"^(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:?\d\d)?$")


@dataclass(frozen=True)
class Trace:
    """Requests of a trace.

    Attributes
    ----------
    format
        `mooncake`, `burstgpt` or `azure`.
    times
        Seconds since the start of the window, ascending, as they are to be sent.
    rows
        Tokens in, tokens out, ids of shared blocks (empty where the format has none).
    failed
        Requests of the window that got no answer when they were recorded (no tokens out), and are not sent.
    """

    format: str
    times: list[float]
    rows: list[tuple[int, int, list[int]]]
    failed: int = 0


def trace_of(workload: Workload) -> Trace | None:
    """The trace that a workload replays, or takes its lengths from when it has a load of its own; None for others."""
    if workload.workload != "trace":
        return None
    timed = any(point.arrival == "trace" for point in workload.points)
    return read_trace(
        str(workload.path), speed=workload.speed, window=workload.window,
        limit=workload.requests if timed else None, duration=workload.duration if timed else None,
    )  # fmt: skip


def read_trace(
    path: str, *, speed: float = 1.0, window: Window | None = None, limit: int | None = None,
    duration: float | None = None,
) -> Trace:  # fmt: skip
    """A trace from a file.

    Parameters
    ----------
    speed
        How many times faster it is to be sent than it was recorded.
    window
        Which part, in seconds of the trace since its first request; all of it when left out.
    limit, duration
        At most so many requests, and none due later than so many seconds of the replay.

    Raises
    ------
    SpecError
        Names the line of a value that is none, the missing column, or an empty window.
    """
    kind, records = _records(path)
    part = window or Window()
    found = sorted(((when, row) for when, row in records), key=lambda record: record[0])
    if not found:
        raise SpecError(f"{path} holds no requests.")
    first = found[0][0]
    inside = [(when, row) for when, row in found if part.start <= when - first < part.end]
    kept = [(when, row) for when, row in inside if row[0] > 0 and row[1] > 0]
    if not kept:
        raise SpecError(
            f"{path} has no request in the window.",
            why=f"its {len(found)} requests take {found[-1][0] - first:g} s",
            then="write another window: {from: 0s, to: 10m}",
        )
    begin = first + part.start if window else kept[0][0]
    times = [(when - begin) / speed for when, _ in kept]
    many = sum(time < (duration or math.inf) for time in times)
    if not many:
        raise SpecError(f"{path} has no request in its first {duration:g} s.", then="give a longer duration")
    many = min(many, limit or many)
    return Trace(kind, times[:many], [row for _, row in kept[:many]], len(inside) - len(kept))


def _records(path: str) -> tuple[str, Iterator[tuple[float, tuple[int, int, list[int]]]]]:
    text = text_of(path)
    if text.lstrip().startswith("{"):
        return "mooncake", (_request(where, document) for where, document in json_lines(path, text))
    columns, records = table(path, text)
    kind = next((kind for kind, (names, _) in _FORMATS.items() if names[1] in columns and names[2] in columns), None)
    if kind is None or _FORMATS[kind][0][0] not in columns:
        wanted = "Request tokens" if kind is None else _FORMATS[kind][0][0]
        raise SpecError(
            f"{path} is no trace that is known: it has no column {wanted!r}{nearest(wanted, columns)}.",
            why=f"columns: {', '.join(columns) or 'none'}",
            then="; ".join(f"{name}: {', '.join(names)}" for name, (names, _) in _FORMATS.items()),
        )
    return kind, (_row(where, kind, record) for where, record in records)


def _request(where: str, document: Any) -> tuple[float, tuple[int, int, list[int]]]:
    if not isinstance(document, dict):
        raise SpecError(f"{where} is no request of a trace.", why=str(document)[:80])
    return _row(where, "mooncake", document)


def _row(where: str, kind: str, record: Mapping[str, Any]) -> tuple[float, tuple[int, int, list[int]]]:
    names, unit = _FORMATS[kind]
    for name in names:
        if record.get(name) is None:
            raise SpecError(f"{where} has no {name!r}{nearest(name, [str(key) for key in record])}.")
    tokens = [_tokens(where, name, record[name]) for name in names[1:]]
    ids = record.get("hash_ids") or [] if kind == "mooncake" else []
    if not isinstance(ids, list) or not all(isinstance(each, int) and each >= 0 for each in ids):
        raise SpecError(f"{where}: hash_ids is {str(ids)[:60]}, not a list of numbers.")
    return _time(where, names[0], record[names[0]]) * unit, (tokens[0], tokens[1], ids)


def _tokens(where: str, name: str, value: Any) -> int:
    try:
        found = float(value)
        if not found.is_integer() or found < 0:
            raise ValueError
    except (TypeError, ValueError):
        raise SpecError(f"{where}: {name} {value!r} is not a number of tokens.") from None
    return int(found)


def _time(where: str, name: str, value: Any) -> float:
    """Seconds (or ms) of a number, or of a date such as `2023-11-16 18:17:03.9799600`."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        try:
            # Azure writes tenths of microseconds, which no datetime holds: they are added by hand
            match = _MOMENT.match(str(value).strip())
            moment = datetime.fromisoformat(match[1] + (match[3] or "+00:00") if match else str(value))
            return moment.timestamp() + float(f"0{(match and match[2]) or '.0'}")
        except ValueError:
            raise SpecError(f"{where}: {name} {value!r} is not a time.") from None
    if not math.isfinite(found):
        raise SpecError(f"{where}: {name} {value!r} is not a time.")
    return found
