"""The steps of a run: what the worker does one after the other, each a plain mapping that it gets in its plan.

A step is one point of the sweep, or all stages, which follow each other without a pause. A closed loop is a list of
moments at which streams start and one of moments at which one ends; an open loop is a list of intended times.
"""

from __future__ import annotations

from typing import Any

from llm_magics.load.arrivals import schedule, stagger, streams
from llm_magics.load.prompts import first_row
from llm_magics.load.traces import Trace
from llm_magics.spec.workload import Workload


def at_once(workload: Workload) -> int:
    """The most connections that a step needs at the same time; known before any list of a step is made."""
    requests = workload.starts_per_point
    most = 1
    for point in workload.points:
        if point.concurrency is not None:
            ends = requests if point.stage is None and point.duration is None else None
            most = max(most, point.concurrency if ends is None else min(point.concurrency, ends))
        elif point.arrival == "throughput":
            most = max(most, requests or 1)
    return most


def steps_of(workload: Workload, trace: Trace | None = None) -> list[dict[str, Any]]:
    """Every repetition of every point, in the order in which they run: whole sweeps, one after the other."""
    points = list(range(len(workload.points)))
    groups = [points] if workload.stages is not None else [[point] for point in points]
    return [
        _step(workload, trace, group, repeat) for repeat in range(workload.repeats) for group in groups
    ]  # fmt: skip


def _step(workload: Workload, trace: Trace | None, group: list[int], repeat: int) -> dict[str, Any]:
    points = [(index, workload.points[index]) for index in group]
    first = points[0][1]
    staged = first.stage is not None
    requests = None if staged or first.duration is not None else workload.starts_per_point
    duration = sum(point.duration or 0.0 for _, point in points) or workload.duration
    step: dict[str, Any] = {
        "point": group[0],
        "repeat": repeat,
        "warmup": workload.warmup,
        "requests": requests,
        "duration": duration,
        "stagger": 0.0,
    }
    begin = 0.0
    parts: list[dict[str, Any]] = []
    times: list[float] = []
    starts: list[float] = []
    stops: list[float] = []
    for index, point in points:
        parts.append({"point": index, "start": begin})
        if trace is not None and point.arrival == "trace":
            own: list[float] | None = trace.times
        else:
            own = schedule(point, workload, index=index, repeat=repeat)
        if own is None:
            more, fewer = streams(point, point.duration, len(starts) - len(stops))
            starts += [begin + when for when in more]
            stops += [begin + when for when in fewer]
        else:
            times += [begin + when for when in own]
        begin += point.duration or 0.0
    if staged:
        step["parts"] = parts
    if first.concurrency is not None:
        most = max(point.concurrency or 1 for _, point in points)
        step |= {"streams": most, "stagger": stagger(most), "starts": starts, "stops": stops}
    else:
        standing = len(times) if first.arrival == "throughput" else 1
        step |= {"times": times, "requests": len(times), "connections": standing}
    return step


def schedules(steps: list[dict[str, Any]], point: int) -> list[list[float]]:
    """The intended times of one point, for each repetition, s since the point began; none for a closed loop."""
    found = []
    for step in steps:
        parts = step.get("parts") or [{"point": step["point"], "start": 0.0}]
        at = next((number for number, part in enumerate(parts) if part["point"] == point), None)
        if at is None or "times" not in step:
            continue
        begin = parts[at]["start"]
        end = parts[at + 1]["start"] if at + 1 < len(parts) else float("inf")
        found.append([when - begin for when in step["times"] if begin <= when < end])
    return found


def expected(step: dict[str, Any], number: int, steps: int, recipe: dict[str, Any]) -> int | None:
    """Requests that a step sends, warm-up included, where that is known: conversations send one for each turn."""
    starts: int | None = step["requests"]
    warmup: int = step["warmup"]
    if starts is None:
        return None
    rows = recipe["rows"]
    if recipe["turns"] == 1 or not rows:
        return int(starts * recipe["turns"] + warmup)
    turns = (rows[first_row(recipe, number, steps, warmup + at)] for at in range(starts))
    return warmup + sum(1 + len(row[2] if len(row) > 2 else []) for row in turns)
