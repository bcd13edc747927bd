"""The points of a run: each load that a workload names, one after another, with the name a person gives it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_magics.spec.arrivals import Arrival, Ramp, Stage

if TYPE_CHECKING:
    from llm_magics.spec.workload import Workload


@dataclass(frozen=True)
class Point:
    """One point of a run: a rate (requests/s, may be infinite) or a concurrency (streams), or a ramp of either.

    Attributes
    ----------
    rate, concurrency
        The load; of a ramp its mean rate, or its highest concurrency.
    ramp
        How it moves, where it does.
    duration
        Seconds, where the point has its own: stages and ramps.
    stage
        Number of the stage, from 1; None outside stages.
    speed
        Of a trace: how many times faster than it was recorded.
    """

    arrival: Arrival
    rate: float | None = None
    concurrency: int | None = None
    ramp: Ramp | None = None
    duration: float | None = None
    stage: int | None = None
    speed: float = 1.0

    @property
    def label(self) -> str:
        """How a person names the point: `4 req/s`, `16 streams`, `1 → 8 req/s`, `stage 2: 8 req/s`, `trace x2`."""
        return f"stage {self.stage}: {self._load}" if self.stage is not None else self._load

    @property
    def _load(self) -> str:
        if self.arrival == "trace":
            return "trace" if self.speed == 1 else f"trace x{self.speed:g}"
        if self.concurrency is not None:
            many = f"{self.ramp}" if self.ramp else f"{self.concurrency}"
            return f"{many} stream{'s' if self.ramp or self.concurrency != 1 else ''}"
        if self.rate is None or math.isinf(self.rate):
            return "all at once"
        return f"{self.ramp or f'{self.rate:g}'} req/s"


def points_of(work: Workload) -> list[Point]:
    """The points of a workload, in the order written; without any load: 1, 4 and 16 streams, or the trace's times."""
    if work.stages is not None:
        return [_staged(work, number, stage) for number, stage in enumerate(work.stages, 1)]
    if work.rate is not None:
        return [_rated(work, rate) for rate in work.rate]
    if work.arrival == "throughput":
        return [Point("throughput")]
    if work.arrival == "synchronous":
        return [Point("synchronous", concurrency=1)]
    if work.concurrency is None and work.workload == "trace":
        return [Point("trace", speed=work.speed)]
    return [_held(work, streams) for streams in work.concurrency or [1, 4, 16]]


def _staged(work: Workload, number: int, stage: Stage) -> Point:
    if stage.rate is not None:
        ramp = stage.rate if isinstance(stage.rate, Ramp) else None
        rate = ramp.mean if ramp else float(stage.rate)  # type: ignore[arg-type]
        return Point(work.arrival or "poisson", rate=rate, ramp=ramp, duration=stage.duration, stage=number)
    ramp = stage.concurrency if isinstance(stage.concurrency, Ramp) else None
    most = int(max(ramp.start, ramp.end)) if ramp else int(stage.concurrency)  # type: ignore[arg-type]
    return Point("concurrent", concurrency=most, ramp=ramp, duration=stage.duration, stage=number)


def _rated(work: Workload, rate: float | Ramp) -> Point:
    if isinstance(rate, Ramp):
        return Point(work.arrival or "poisson", rate=rate.mean, ramp=rate, duration=rate.duration or work.duration)
    if math.isinf(rate):
        return Point("throughput")
    return Point(work.arrival or "poisson", rate=rate)


def _held(work: Workload, streams: int | Ramp) -> Point:
    if not isinstance(streams, Ramp):
        return Point("concurrent", concurrency=streams)
    most = int(max(streams.start, streams.end))
    return Point("concurrent", concurrency=most, ramp=streams, duration=streams.duration or work.duration)
