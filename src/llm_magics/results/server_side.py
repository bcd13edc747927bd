"""The server's own figures over a sweep point, from samples taken on the run's clock while it went on.

Gauges (queue, KV cache, memory) are averaged over the samples of the point or their highest is taken; counters are
read off at its beginning and its end, between two samples on the straight line through them. What the engine does not
export, or this machine does not show, is None, never 0. Sources of the values: `engines.metrics`, `runtime.gpu_meter`,
`runtime.tree_meter`, `runtime.machine_meter`, `runtime.package_energy`; names as in `engines.facts.Metrics`.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm_magics.results.columns import Floats
from llm_magics.results.records import PointWindow, ServerSample

_REACH = 2.5  # s that a counter may be continued beyond its samples: as far as two of them lie apart


@dataclass(frozen=True)
class Quantity:
    """One figure of the server's side: its key in `Run.points`, how a table names it, and what must be sampled."""

    key: str
    title: str
    unit: str
    needs: tuple[str, ...]


QUANTITIES = (
    Quantity("mean_server_ttft_ms", "TTFT mean", "ms", ("ttft_sum", "ttft_count")),
    Quantity("mean_server_tpot_ms", "TPOT mean", "ms", ("tpot_sum", "tpot_count")),
    Quantity("mean_server_queue_ms", "Queued mean", "ms", ("queue_sum", "queue_count")),
    Quantity("mean_server_prefill_ms", "Prefill mean", "ms", ("prefill_sum", "prefill_count")),
    Quantity("server_running", "Running", "", ("running",)),
    Quantity("server_waiting", "Waiting", "", ("waiting",)),
    Quantity("max_server_waiting", "Waiting, most", "", ("waiting",)),
    Quantity("max_server_kv_usage", "KV cache, most", "share", ("kv_usage",)),
    Quantity("server_prefix_hits", "Prefix hits", "share", ("cached_tokens",)),
    Quantity("server_preemptions", "Preemptions", "", ("preemptions",)),
    Quantity("server_cpu_cores", "CPU", "cores", ("cpu_seconds",)),
    Quantity("max_server_rss", "Memory, most", "bytes", ("rss",)),
    Quantity("gpu_util", "GPU use", "share", ("gpu_util",)),
    Quantity("max_gpu_memory", "GPU memory, most", "bytes", ("gpu_memory",)),
    Quantity("gpu_power", "GPU power", "W", ("gpu_power",)),
    Quantity("energy_joules", "Energy", "J", ("gpu_energy", "gpu_power", "cpu_energy")),
    Quantity("output_tokens_per_joule", "Output tokens/J", "tok/J", ("gpu_energy", "gpu_power", "cpu_energy")),
)


def figures(
    samples: Sequence[ServerSample], windows: Iterable[PointWindow], output_tokens: int | None
) -> dict[str, Any]:
    """One point's figures of the server's side, by the keys of `QUANTITIES`, `energy_source`, and those of `_beside`.

    Parameters
    ----------
    samples
        All of the run; several clocks (rounds that were pooled) are told apart by `ServerSample.clock`.
    windows
        The measured windows of the point.
    output_tokens
        Tokens that were answered in these windows, for the energy of one.
    """
    spans = _spans(samples, windows)
    waiting, seconds = _together(spans, "waiting"), sum(span.end - span.start for span in spans)
    energy, source = _energy(spans)
    return {
        **{f"mean_server_{key}_ms": _times(1e3, _mean(spans, key)) for key in ("ttft", "tpot", "queue", "prefill")},
        "server_running": _average(_together(spans, "running")),
        "server_waiting": _average(waiting),
        "max_server_waiting": _most(waiting),
        "max_server_kv_usage": _most(_together(spans, "kv_usage")),
        "server_prefix_hits": _ratio(
            _grown(spans, "cached_tokens"), _first(_grown(spans, "prefix_queries"), _grown(spans, "prompt_tokens"))
        ),
        "server_preemptions": _grown(spans, "preemptions"),
        "server_cpu_cores": _ratio(_grown(spans, "cpu_seconds"), seconds),
        "max_server_rss": _most(_together(spans, "rss")),
        "gpu_util": _average(_together(spans, "gpu_util")),
        "max_gpu_memory": _most(_together(spans, "gpu_memory")),
        "gpu_power": _average(_together(spans, "gpu_power")),
        "energy_joules": energy,
        "energy_source": source,
        "output_tokens_per_joule": _ratio(output_tokens, energy),
        **_beside(spans, seconds),
    }


def counted(samples: Sequence[ServerSample], windows: Sequence[PointWindow], key: str) -> tuple[float, float] | None:
    """How much a counter grew over some windows, and by how much that may be wrong at their ends, between two samples.

    None where the samples do not cover them, or where the windows overlap and so would be counted twice.
    """
    spans = _spans(samples, windows)
    grown = _grown(spans, key)
    for one, other in itertools.combinations(windows, 2):
        if one.repeat == other.repeat and one.start < other.end and other.start < one.end:
            return None
    return None if grown is None else (grown, sum(span.doubt(key) for span in spans))


def _spans(samples: Sequence[ServerSample], windows: Iterable[PointWindow]) -> list[_Span]:
    clocks = sorted({sample.clock for sample in samples})
    return [
        _Span([sample for sample in samples if sample.clock == clock], window.start, window.end)
        for window in windows
        if (clock := max((each for each in clocks if each <= window.repeat), default=None)) is not None
    ]


def _beside(spans: Sequence[_Span], seconds: float) -> dict[str, float | None]:
    """What tells of disturbance: in no table, for `flags.disturbed` speaks of it where it matters."""
    return {
        "server_major_faults": _grown(spans, "major_faults"),
        "max_server_swap": _most(_together(spans, "swapped")),
        "machine_cpu_cores": _ratio(_grown(spans, "machine_cpu_seconds"), seconds),
        "machine_steal_cores": _ratio(_grown(spans, "machine_steal_seconds"), seconds),
        "machine_swap": _grown(spans, "machine_swap"),
        "caller_cpu_cores": _ratio(_grown(spans, "caller_cpu_seconds"), seconds),
    }


def exported(samples: Sequence[ServerSample], declared: Collection[str] = ()) -> set[str]:
    """Keys of `QUANTITIES` for which anything was sampled, or might have been in a longer run.

    Parameters
    ----------
    declared
        Names that the engine is known for (`exports` of a run's header). They count where its page was looked at less
        than twice: that says nothing against them, as a second look without them does (versions differ in a few).
    """
    seen = {name for sample in samples for name in sample.values}
    if sum(not sample.values.keys().isdisjoint(declared) for sample in samples) < 2:
        seen |= set(declared)
    return {
        each.key
        for each in QUANTITIES
        if (any if each.key in ("energy_joules", "output_tokens_per_joule") else all)(
            name in seen for name in each.needs
        )
    }


def unseen(points: Sequence[Mapping[str, Any]], samples: Sequence[ServerSample], declared: Collection[str]) -> set[str]:
    """Keys of `QUANTITIES` that the engine exports, and of which no point has a figure: the run was too short for it.

    A counter takes two looks with an answer between them. What the meters see of the machine is not meant.
    """
    return {
        each.key
        for each in QUANTITIES
        if each.key in exported(samples, declared)
        and set(each.needs) <= set(declared)
        and all(point.get(each.key) is None for point in points)
    }


def moments(samples: Sequence[ServerSample]) -> list[dict[str, float]]:
    """One mapping a sample: `t` (s), the gauges as they were, counters as what they did since the last sample.

    `cpu_cores`, `output_tokens_per_s`, `prompt_tokens_per_s`, `ttft_ms`, `tpot_ms`, `queue_ms` (means of what ended
    meanwhile), `gpu_power` (W; from the energy where the card counts it), `cpu_power` (W).
    """
    rows: list[dict[str, float]] = []
    last: dict[str, tuple[float, float]] = {}
    for sample in samples:
        row = {"t": sample.t, **{key: value for key, value in sample.values.items() if key in _GAUGES}}
        grown: dict[str, tuple[float, float]] = {}
        for key, value in sample.values.items():
            if key not in _GAUGES:
                if key in last and sample.t > last[key][0]:
                    grown[key] = value - last[key][1], sample.t - last[key][0]
                last[key] = sample.t, value
        for key, name in _RATES.items():
            if key in grown and grown[key][0] >= 0:
                row[name] = grown[key][0] / grown[key][1]
        for key in ("ttft", "tpot", "queue"):
            total, count = grown.get(f"{key}_sum"), grown.get(f"{key}_count")
            if total and count and count[0] > 0:
                row[f"{key}_ms"] = 1e3 * total[0] / count[0]
        rows.append(row)
    return rows


_GAUGES = frozenset({"running", "waiting", "kv_usage", "rss", "swapped", "gpu_util", "gpu_memory", "gpu_power"})
_RATES = {
    "cpu_seconds": "cpu_cores", "output_tokens": "output_tokens_per_s", "prompt_tokens": "prompt_tokens_per_s",
    "gpu_energy": "gpu_power", "cpu_energy": "cpu_power",
}  # fmt: skip


class _Span:
    """The samples of one clock, seen from one measured window."""

    def __init__(self, samples: Sequence[ServerSample], start: float, end: float) -> None:
        self.samples, self.start, self.end = samples, start, end

    def series(self, key: str) -> tuple[Floats, Floats]:
        """When a value was sampled, and what it was."""
        pairs = [(sample.t, sample.values[key]) for sample in self.samples if key in sample.values]
        found = np.array(sorted(pairs), dtype=np.float64).reshape(-1, 2)
        return found[:, 0], found[:, 1]

    def within(self, key: str) -> Floats:
        """A gauge's values inside the window."""
        times, values = self.series(key)
        return values[(times >= self.start) & (times <= self.end)]

    def growth(self, key: str) -> float | None:
        """How much a counter grew over the window; None where its samples do not cover it."""
        times, values = self.series(key)
        if len(times) < 2 or times[0] > self.start + _REACH or times[-1] < self.end - _REACH:
            return None
        return max(0.0, _at(times, values, self.end) - _at(times, values, self.start))

    def doubt(self, key: str) -> float:
        """By how much `growth` may be wrong: what the counter did between the samples around either end."""
        times, values = self.series(key)
        steps = np.diff(values)
        ends = np.clip(np.searchsorted(times, [self.start, self.end]) - 1, 0, len(steps) - 1)
        return float(np.abs(steps[ends]).sum()) if len(steps) else 0.0

    def integral(self, key: str) -> float | None:
        """A gauge integrated over the window (trapezoids)."""
        times, values = self.series(key)
        if not len(times) or times[0] > self.start + _REACH or times[-1] < self.end - _REACH:
            return None
        inside = (times > self.start) & (times < self.end)
        moments = np.concatenate([[self.start], times[inside], [self.end]])
        return float(np.trapezoid(np.interp(moments, times, values), moments))


def _at(times: Floats, values: Floats, moment: float) -> float:
    """A counter at a moment; beyond its samples on the line through the nearest two."""
    if times[0] <= moment <= times[-1]:
        return float(np.interp(moment, times, values))
    a, b = (0, 1) if moment < times[0] else (-2, -1)
    slope = (values[b] - values[a]) / max(times[b] - times[a], 1e-9)
    return float(values[a if a == 0 else b] + slope * (moment - times[a if a == 0 else b]))


def _grown(spans: Sequence[_Span], key: str) -> float | None:
    found = [span.growth(key) for span in spans]
    known = [each for each in found if each is not None]
    return sum(known) if known and len(known) == len(found) else None


def _mean(spans: Sequence[_Span], key: str) -> float | None:
    count = _grown(spans, f"{key}_count")
    return _ratio(_grown(spans, f"{key}_sum"), count) if count is not None and count >= 0.5 else None


def _together(spans: Sequence[_Span], key: str) -> Floats:
    return np.concatenate([span.within(key) for span in spans]) if spans else np.zeros(0)


def _energy(spans: Sequence[_Span]) -> tuple[float | None, str | None]:
    """J over the windows, and where it is from."""
    if (counted := _grown(spans, "gpu_energy")) is not None:
        return counted, "GPUs (NVML)"
    powers = [span.integral("gpu_power") for span in spans]
    known = [each for each in powers if each is not None]
    if known and len(known) == len(powers):
        return sum(known), "GPUs (NVML's power, integrated)"
    if (counted := _grown(spans, "cpu_energy")) is not None:
        return counted, "CPU packages (RAPL)"
    return None, None


def _average(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None


def _most(values: Floats) -> float | None:
    return float(values.max()) if len(values) else None


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _times(factor: float, value: float | None) -> float | None:
    return None if value is None else factor * value
