"""Requests that went with a worker: sent or due when its node was lost, and without a row of their own.

An open loop's are known from the schedule. Of a closed loop's it is known how many were under way when the worker
spoke last, a quarter of a second before at most.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any


def lost_rows(
    record: int,
    plan: Mapping[str, Any],
    worker: int,
    workers: int,
    begun: Mapping[int, int],
    at: int,
    progress: Mapping[str, Any] | None,
    words: str,
) -> Iterator[dict[str, Any]]:
    """The rows of requests that were lost with one of several workers.

    Parameters
    ----------
    record
        The spool, open for reading.
    plan
        The run's: `origin` and `steps`, unshared.
    begun
        When each step that began did so; ns, as `at`, when the worker was lost.
    progress
        The worker's last words.
    words
        What the rows say of it.
    """
    number = max(begun, default=int((progress or {}).get("step", 0)))
    step, origin, stride = plan["steps"][number], plan["origin"], int(plan["recipe"].get("turns", 1))
    start = begun.get(number, at)
    seen = _seen(record, step["point"], step["repeat"], {part["point"] for part in step.get("parts") or ()})
    warmup = int(step["warmup"])
    if "times" in step and number in begun:
        due = {warmup + index: start + round(time * 1e9) for index, time in enumerate(step["times"])}
        mine = [(index, when) for index, when in due.items() if index % workers == worker and when <= at]
    else:
        flying, mine, index = int((progress or {}).get("in_flight", 0)), list[tuple[int, int]](), worker
        while len(mine) < flying:
            if index >= warmup and index * stride not in seen:
                mine.append((index, at))
            index += workers
    for index, when in mine:
        if index * stride not in seen:
            yield {
                "kind": "request", "point": _point(step, when - start), "index": index * stride,
                "intended": (when - origin) / 1e9, "repeat": step["repeat"], "warmup": False, "chunks": 0,
                "status": "cancelled", "error": words,
            }  # fmt: skip


def _seen(record: int, point: int, repeat: int, parts: set[int]) -> set[int]:
    size = os.fstat(record).st_size
    found = set()
    for line in os.pread(record, size, 0).split(b"\n"):
        if line.startswith(b'{"kind":"request"'):
            row = json.loads(line)
            if row["point"] in (parts or {point}) and row.get("repeat", 0) == repeat:
                found.add(row["index"])
    return found


def _point(step: Mapping[str, Any], since: int) -> int:
    """Which of a step's points a moment (ns after its start) belongs to."""
    found = int(step["point"])
    for part in step.get("parts") or ():
        if round(part["start"] * 1e9) <= since:
            found = int(part["point"])
    return found
