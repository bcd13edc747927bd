"""One load made by several processes: how many are needed, and which part of each step is whose.

Worker k of n makes the requests whose number leaves k when divided by n, warm-up included. So the n together send the
bytes at the times at which one alone would send them, and two runs with the same recipe stay comparable however many
workers made them.
"""

from __future__ import annotations

import math
import os
from typing import Any

CHUNKS = 50_000  # a second that one worker reads with ease (benchmarks/results/load-generator.md)
_PACE = 100  # tokens/s of one stream, where nobody knows better: a fast GPU's


def workers_for(steps: list[dict[str, Any]], tokens: int, *, local: bool) -> int:
    """How many processes a load needs, as far as the machine can spare them.

    Parameters
    ----------
    tokens
        Output tokens of a request, on average.
    local
        The server runs on this machine: half of the cores are left to it. Else all but one may be used.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    spare = cores // 2 if local else cores - 1
    return max(1, min(spare, math.ceil(max(_chunks(step, tokens) for step in steps) / CHUNKS)))


def _chunks(step: dict[str, Any], tokens: int) -> float:
    """Chunks/s that a step is expected to bring."""
    if "times" not in step:
        return float(_PACE * step["streams"])
    times = step["times"]
    span = times[-1] - times[0] if times else 0.0
    streams = _PACE * len(times)  # all of them at once
    return min(streams, len(times) * tokens / span) if span > 0 else streams


def share(step: dict[str, Any], worker: int, workers: int) -> dict[str, Any]:
    """The part of a step that is one worker's."""
    if workers == 1:
        return step
    warmup = int(step["warmup"])
    mine: dict[str, Any] = {**step, "warmup": len(range(worker, warmup, workers))}
    if step["requests"] is not None:
        mine["requests"] = len(range(worker, warmup + step["requests"], workers)) - mine["warmup"]
    if "times" in step:
        first = range(worker, warmup + len(step["times"]), workers)
        mine["times"] = [step["times"][number - warmup] for number in first if number >= warmup]
        mine["connections"] = -(-step["connections"] // workers)
    if "streams" in step:
        mine["streams"] = len(range(worker, step["streams"], workers))
        # streams start and end in turns, so that those of all workers do it one after the other
        mine |= {key: step[key][worker::workers] for key in ("starts", "stops")}
    return mine


def most_workers(steps: list[dict[str, Any]]) -> int:
    """The most workers that all have something to do in every step."""
    most = 1 << 30
    for step in steps:
        most = min(most, step.get("streams", most), most if step["requests"] is None else step["requests"])
    return most
