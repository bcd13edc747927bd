"""Loads that contradict each other, each said with the options' names before anything is sent."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from llm_magics.spec.arrivals import Ramp
from llm_magics.spec.points import points_of

if TYPE_CHECKING:
    from llm_magics.spec.workload import Workload

RATED = ("constant", "poisson", "gamma")


def check_arrivals(work: Workload) -> None:
    """Refuse loads that contradict each other.

    Raises
    ------
    ValueError
        Names the options.
    """
    _check_exclusive(work)
    _check_named(work)
    _check_ramps(work)
    if work.given("burstiness") and (work.arrival != "gamma" or all_at_once(work)):
        raise ValueError(
            "burstiness belongs to gamma arrivals: give it with a rate in requests/s, "
            "and arrival: gamma or no arrival at all"
        )
    if work.arrival is not None and work.rate is not None and all_at_once(work):
        raise ValueError(f"rate: inf sends all at once; arrival: {work.arrival} says nothing about it")
    if work.duration is not None and any(point.arrival == "throughput" for point in points_of(work)):
        raise ValueError("all at once needs requests, not duration: how many to send at the same moment")


def all_at_once(work: Workload) -> bool:
    """Whether every rate is infinite."""
    return work.rate is not None and all(isinstance(rate, float) and math.isinf(rate) for rate in work.rate)


def _check_exclusive(work: Workload) -> None:
    if work.rate is not None and work.concurrency is not None:
        raise ValueError("rate and concurrency exclude each other: open loop or closed loop, one sweep at a time")
    if work.stages is not None:
        for option in ("rate", "concurrency", "requests", "duration", "conversations"):
            if getattr(work, option) is not None:
                raise ValueError(f"{option} stands beside stages; each stage says its own load and duration")
    timed = work.workload == "trace" and work.rate is None and work.concurrency is None and work.stages is None
    for option in ("speed", "window"):
        if work.given(option) and not timed:
            raise ValueError(f"{option} belongs to a trace that is sent at its own times: workload: trace, no rate")
    if timed and work.arrival not in (None, "trace"):
        raise ValueError(f"arrival: {work.arrival} does not go with a trace's own times")
    if work.arrival == "trace" and not timed:
        raise ValueError("arrival: trace needs workload: trace, and neither rate nor concurrency")


def _check_named(work: Workload) -> None:
    """An arrival that was named has the load it needs."""
    rated = work.rate is not None or (work.stages is not None and work.stages[0].rate is not None)
    held = work.concurrency is not None or (work.stages is not None and not rated)
    if work.arrival in RATED and not rated:
        raise ValueError(
            f"arrival: {work.arrival} does not go with concurrency" if held else f"arrival: {work.arrival} needs a rate"
        )
    if work.arrival == "concurrent" and not held:
        raise ValueError(
            "arrival: concurrent does not go with rate" if rated else "arrival: concurrent needs concurrency"
        )
    if work.arrival in ("synchronous", "throughput") and (rated or held):
        raise ValueError(f"arrival: {work.arrival} takes neither rate nor concurrency")


def _check_ramps(work: Workload) -> None:
    for option in ("rate", "concurrency"):
        for load in getattr(work, option) or ():
            if not isinstance(load, Ramp):
                continue
            if work.requests is not None or work.conversations is not None:
                raise ValueError(f"{option}: a ramp ends by its duration, not by a number of requests")
            if (load.duration is None) == (work.duration is None):
                raise ValueError(f"{option}: a ramp needs a duration, once: {{from: 1, to: 16, duration: 60s}}")
