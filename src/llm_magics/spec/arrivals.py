"""When requests are sent, as a user writes it: rates and concurrencies, ramps of either, stages, a window of a trace.

A **ramp** moves from one load to another while it is measured, as one point. **Stages** are loads one after another
without a pause, each a point of its own in the results.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, PlainValidator

from llm_magics.spec.quantities import seconds
from llm_magics.spec.reading import nearest

Arrival = Literal["synchronous", "concurrent", "throughput", "constant", "poisson", "gamma", "trace"]
Shape = Literal["linear", "exponential"]

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


def _typed(value: Any) -> Any:
    """A load as it is typed, which JSON can hold and a reader of a workload takes again: `inf`, `{from: 1, to: 8}`."""
    if isinstance(value, list):
        return [_typed(each) for each in value]
    if isinstance(value, Stage):
        loads = {"rate": value.rate, "concurrency": value.concurrency}
        own = {} if isinstance(value.rate or value.concurrency, Ramp) else {"duration": value.duration}
        return {key: _typed(load) for key, load in loads.items() if load is not None} | own
    if isinstance(value, Ramp):
        said = {"from": value.start, "to": value.end, "duration": value.duration, "shape": value.shape}
        return {key: each for key, each in said.items() if each is not None}
    if isinstance(value, Window):
        return {"from": value.start} | ({} if math.isinf(value.end) else {"to": value.end})
    return "inf" if value == math.inf else value


_AS_TYPED = PlainSerializer(_typed, when_used="json")

Rate = Annotated[Any, PlainValidator(_rate), _AS_TYPED]
Concurrency = Annotated[Any, PlainValidator(_concurrency), _AS_TYPED]
Stages = Annotated[Any, PlainValidator(_stages), _AS_TYPED]
TraceWindow = Annotated[Any, PlainValidator(_window), _AS_TYPED]
Speed = Annotated[float, Field(gt=0, allow_inf_nan=False)]
