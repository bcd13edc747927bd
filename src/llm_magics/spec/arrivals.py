"""When requests are sent, as a user writes it: rates and concurrencies, ramps of either, stages, a window of a trace.

A **ramp** moves from one load to another while it is measured, as one point. **Stages** are loads one after another
without a pause, each a point of its own in the results.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, PlainValidator

from llm_magics.spec.quantities import seconds
from llm_magics.spec.reading import nearest

if TYPE_CHECKING:
    from llm_magics.spec.workload import Workload

Arrival = Literal["synchronous", "concurrent", "throughput", "constant", "poisson", "gamma", "trace"]
Shape = Literal["linear", "exponential"]

RATED = ("constant", "poisson", "gamma")
_SHAPES = ("linear", "exponential")


@dataclass(frozen=True)
class Ramp:
    """A load that moves evenly (`linear`) or by a constant factor (`exponential`) from `start` to `end`.

    `duration` (s) is None where the workload's own says how long.
    """

    start: float
    end: float
    duration: float | None = None
    shape: Shape = "linear"

    @property
    def mean(self) -> float:
        """The load averaged over the ramp's time."""
        if self.shape == "linear" or math.isclose(self.start, self.end):
            return (self.start + self.end) / 2
        return (self.end - self.start) / math.log(self.end / self.start)

    def __str__(self) -> str:
        return f"{self.start:g} → {self.end:g}" + (" exponentially" if self.shape == "exponential" else "")


@dataclass(frozen=True)
class Stage:
    """One of several loads that follow each other without a pause; either rate or concurrency is set."""

    duration: float
    rate: float | Ramp | None = None
    concurrency: int | Ramp | None = None


@dataclass(frozen=True)
class Window:
    """The part of a trace that is replayed: seconds since its first request, before `speed`."""

    start: float = 0.0
    end: float = math.inf


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


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ValueError(f"{value!r} is not a rate: write requests/s, inf, or {{from: 1, to: 16, duration: 60s}}")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 1 or not float(value).is_integer():
        raise ValueError(f"{value!r} is not a number of streams: write 8, or {{from: 1, to: 16, duration: 60s}}")
    return int(value)


def _rate(value: Any) -> float | Ramp:
    if isinstance(value, (Ramp, Mapping)):
        return _ramp(value)
    return math.inf if value in ("inf", "max", "throughput") else _number(value)


def _concurrency(value: Any) -> int | Ramp:
    if isinstance(value, (Ramp, Mapping)):
        found = _ramp(value)
        return Ramp(_count(found.start), _count(found.end), found.duration, found.shape)
    return _count(value)


def _ramp(value: Ramp | Mapping[str, Any]) -> Ramp:
    if isinstance(value, Ramp):
        return value
    known(value, ("from", "to", "duration", "shape"), "a ramp", "{from: 1, to: 16, duration: 60s, shape: linear}")
    if "from" not in value or "to" not in value:
        raise ValueError("a ramp has from and to: {from: 1, to: 16, duration: 60s}")
    shape = value.get("shape", "linear")
    if shape not in _SHAPES:
        raise ValueError(f"shape {shape!r} is not linear or exponential{nearest(str(shape), list(_SHAPES))}")
    ends = [_number(value[key]) for key in ("from", "to")]
    if any(map(math.isinf, ends)):
        raise ValueError("a ramp ends at a rate; all at once (inf) is none")
    return Ramp(ends[0], ends[1], _long(value["duration"]) if "duration" in value else None, shape)


def _long(value: Any) -> float:
    found = seconds(value)
    if found <= 0:
        raise ValueError("duration must be longer than zero")
    return found


def _stages(value: Any) -> list[Stage] | None:
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError("takes a list: [{rate: 2, duration: 20s}, {rate: 8, duration: 20s}]")
    found = [item if isinstance(item, Stage) else _stage(number, item) for number, item in enumerate(value, 1)]
    if len({stage.rate is None for stage in found}) > 1:
        raise ValueError("stages are all rates or all concurrencies: open loop or closed loop, one at a time")
    return found


def _stage(number: int, item: Any) -> Stage:
    if not isinstance(item, Mapping):
        raise ValueError(f"stage {number} is {item!r}: write {{rate: 2, duration: 20s}}")
    known(item, ("rate", "concurrency", "duration"), f"stage {number}", "{rate: 2, duration: 20s}")
    if ("rate" in item) == ("concurrency" in item):
        raise ValueError(f"stage {number} needs a rate or a concurrency, one of them")
    load = _rate(item["rate"]) if "rate" in item else _concurrency(item["concurrency"])
    own = load.duration if isinstance(load, Ramp) else None
    if (own is None) == ("duration" not in item):
        raise ValueError(f"stage {number} needs a duration, once: {{rate: 2, duration: 20s}}")
    if isinstance(load, float) and math.isinf(load):
        raise ValueError(f"stage {number}: all at once (inf) has no duration")
    duration = _long(item["duration"]) if own is None else own
    if "rate" in item:
        return Stage(duration, rate=load)
    return Stage(duration, concurrency=load if isinstance(load, Ramp) else int(load))


def _window(value: Any) -> Window | None:
    if value is None or isinstance(value, Window):
        return value
    if not isinstance(value, Mapping):
        raise ValueError("takes {from: 10m, to: 20m}: seconds of the trace, from its first request on")
    known(value, ("from", "to"), "a window", "{from: 10m, to: 20m}")
    found = Window(seconds(value.get("from", 0)), seconds(value["to"]) if "to" in value else math.inf)
    if found.end <= found.start:
        raise ValueError("a window ends after it begins: {from: 10m, to: 20m}")
    return found


def known(given: Mapping[Any, Any], words: tuple[str, ...], what: str, example: str) -> None:
    """Refuse a key that is none of some words.

    Raises
    ------
    ValueError
        Names the key and the nearest word.
    """
    for key in given:
        if key not in words:
            raise ValueError(f"{what} has no {str(key)!r}{nearest(str(key), list(words))}; write {example}")


Rate = Annotated[Any, PlainValidator(_rate)]
Concurrency = Annotated[Any, PlainValidator(_concurrency)]
Stages = Annotated[Any, PlainValidator(_stages)]
TraceWindow = Annotated[Any, PlainValidator(_window)]
Speed = Annotated[float, Field(gt=0, allow_inf_nan=False)]


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
