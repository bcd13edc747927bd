"""When requests are sent: the schedule of an open loop, the ramp of a closed one. Nothing here waits or sends.

A schedule is drawn once, before the run, from a seed; a hash of it stands in the run's header. It is never re-anchored
and no arrival is skipped: a client that is late sends late, and says so.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from array import array

from llm_magics.spec.workload import Point, Workload

_RAMP = 1.0  # s over which a closed loop's streams start
_STEP = 0.010  # s between two starts, at most


def schedule(point: Point, workload: Workload, *, index: int = 0, repeat: int = 0) -> list[float] | None:
    """Intended send times of one point, s since its window opened, ascending; None for a closed loop.

    Gaps are drawn from the arrival's distribution and scaled so that n requests take exactly n / rate seconds: the
    offered load is the one asked for, whatever the seed. For poisson this is the process given its count.

    Parameters
    ----------
    index, repeat
        Which point of the sweep and which repetition: each has its own draw.
    """
    if point.arrival in ("synchronous", "concurrent"):
        return None
    count = workload.requests_per_point
    if point.arrival == "throughput" or point.rate is None or math.isinf(point.rate):
        if count is None:
            raise ValueError("all at once needs requests, not duration")
        return [0.0] * count
    rate = point.rate
    if count is None:
        count = max(1, round(rate * (workload.duration or 0.0)))
    if point.arrival == "constant":
        return [i / rate for i in range(count)]
    # One Poisson stream is gamma with shape 1; burstiness below 1 is burstier, above 1 more regular.
    shape = workload.burstiness if point.arrival == "gamma" else 1.0
    draw = random.Random(f"{workload.seed}/{index}/{repeat}")  # noqa: S311 - a schedule, not a secret
    gaps = [draw.gammavariate(shape, 1.0) for _ in range(count)]
    scale = count / rate / (sum(gaps) or 1.0)
    return [time * scale for time in itertools.accumulate(gaps[:-1], initial=0.0)]


def stagger(streams: int) -> float:
    """Seconds between the starts of a closed loop's streams: else all queue to send at once and stay in phase."""
    return min(_STEP, _RAMP / streams)


def digest(times: list[float]) -> str:
    """A hash of a schedule: two runs with the same digest sent at the same times."""
    return hashlib.sha256(array("d", times).tobytes()).hexdigest()[:16]
