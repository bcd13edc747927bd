"""When requests are sent: the schedule of an open loop, the streams of a closed one. Nothing here waits or sends.

A schedule is drawn once, before the run, from a seed; a hash of it stands in the run's header. It is never re-anchored
and no arrival is skipped: a client that is late sends late, and says so.

A load that changes over time (a ramp) is a cumulative function: so many arrivals are due by then. Arrivals are drawn as
if the rate were one, and taken through its inverse (the time change of an inhomogeneous Poisson process: Cinlar 1975,
chapter 4.7), so that a ramp's gaps have the distribution that was asked for, at every rate it passes.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from array import array
from collections.abc import Callable

from llm_magics.spec.arrivals import Ramp
from llm_magics.spec.points import Point
from llm_magics.spec.workload import Workload

_RAMP = 1.0  # s over which a closed loop's streams start
_STEP = 0.010  # s between two starts, at most


def schedule(point: Point, workload: Workload, *, index: int = 0, repeat: int = 0) -> list[float] | None:
    """Intended send times of one point, s since its window opened, ascending; None for a closed loop or a trace.

    Gaps are drawn from the arrival's distribution and scaled so that n requests take exactly n / rate seconds: the
    offered load is the one asked for, whatever the seed. For poisson this is the process given its count. A ramp has
    as many arrivals as its mean rate makes in its time.

    Parameters
    ----------
    index, repeat
        Which point of the sweep and which repetition: each has its own draw.
    """
    if point.arrival in ("synchronous", "concurrent", "trace"):
        return None
    count = workload.starts_per_point if point.duration is None else None
    if point.arrival == "throughput" or point.rate is None or math.isinf(point.rate):
        if count is None:
            raise ValueError("all at once needs requests, not duration")
        return [0.0] * count
    duration = point.duration or workload.duration or 0.0
    if count is None:
        count = max(1, round(point.rate * duration))
    places = _places(point, workload, count, f"{workload.seed}/{index}/{repeat}")
    if point.ramp is None:
        return [place / point.rate for place in places]
    when = reached(point.ramp, duration)
    scale = point.rate * duration / count  # of a count that had to be rounded
    return [when(place * scale) for place in places]


def _places(point: Point, workload: Workload, count: int, seed: str) -> list[float]:
    """Where the arrivals stand among each other, as if one a second were due on average: from 0 to below `count`."""
    if point.arrival == "constant":
        return [float(number) for number in range(count)]
    # One Poisson stream is gamma with shape 1; burstiness below 1 is burstier, above 1 more regular.
    shape = workload.burstiness if point.arrival == "gamma" else 1.0
    draw = random.Random(seed)  # noqa: S311 - a schedule, not a secret
    gaps = [draw.gammavariate(shape, 1.0) for _ in range(count)]
    scale = count / (sum(gaps) or 1.0)
    return [place * scale for place in itertools.accumulate(gaps[:-1], initial=0.0)]


def reached(ramp: Ramp, duration: float) -> Callable[[float], float]:
    """When (s) so many requests are due on a ramp of `duration` s: the inverse of its rate's integral."""
    low, high = ramp.start, ramp.end
    slope = (high - low) / duration
    if math.isclose(low, high):
        return lambda due: due / low
    if ramp.shape == "linear":
        # low t + slope t^2 / 2 = due; in the form that does not subtract two numbers alike
        return lambda due: 2 * due / (low + math.sqrt(max(0.0, low * low + 2 * slope * due)))
    growth = math.log(high / low) / duration
    return lambda due: math.log1p(due * growth / low) / growth


def streams(point: Point, duration: float | None, begin: int | None = None) -> tuple[list[float], list[float]]:
    """When (s) streams of a closed loop start, and when one of them ends, both ascending.

    Parameters
    ----------
    duration
        Of the point; only a ramp needs it.
    begin
        Streams that run already, of the stage before; those that are too many end at once.
    """
    ramp = point.ramp
    level = int(ramp.start) if ramp else point.concurrency or 1
    already = begin or 0
    apart = stagger(max(level - already, 1))
    starts = [number * apart for number in range(level - already)]
    stops = [0.0] * (already - level)
    if ramp is not None and duration is not None:
        low, high = int(ramp.start), int(ramp.end)
        if high > low:
            starts += [_crossed(ramp, duration, level) for level in range(low + 1, high + 1)]
            starts.sort()
        else:
            stops += [_crossed(ramp, duration, level) for level in range(low - 1, high - 1, -1)]
    return starts, stops


def _crossed(ramp: Ramp, duration: float, level: int) -> float:
    """When a ramp of concurrency passes a level."""
    if ramp.shape == "linear":
        return duration * (level - ramp.start) / (ramp.end - ramp.start)
    return duration * math.log(level / ramp.start) / math.log(ramp.end / ramp.start)


def stagger(streams: int) -> float:
    """Seconds between the starts of a closed loop's streams: else all queue to send at once and stay in phase."""
    return min(_STEP, _RAMP / streams)


def digest(times: list[float]) -> str:
    """A hash of a schedule: two runs with the same digest sent at the same times."""
    return hashlib.sha256(array("d", times).tobytes()).hexdigest()[:16]
