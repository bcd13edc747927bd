"""What of a run carries each metric's scatter: the rows that are resampled to see how sure a figure is.

A latency is carried by requests. A throughput of a closed loop is carried by requests too (Little's law), that of an
open loop by slices of time, because there the schedule decides which requests fall where.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from llm_magics.results import resampling, timeline
from llm_magics.results.columns import CANCELLED, OK, Columns, Floats
from llm_magics.results.resampling import Statistic
from llm_magics.results.run import Run
from llm_magics.results.summary import counted, met, told

_SLICES = 40
_TOKENS = ("output_throughput", "steady_output_throughput", "total_token_throughput")
_THROUGHPUTS = (*_TOKENS, "request_throughput")
_LATENCIES = {"ttft": "ttft", "tpot": "tpot", "e2el": "e2e"}


@dataclass(frozen=True)
class Sample:
    """What one side gives for one metric.

    Attributes
    ----------
    rounds
        For each round an array of shape (rows, columns), in the order of time.
    keys
        For each round what each row is (a request's index): equal keys on two sides are paired.
    statistic
        How rows become the figure.
    share, quantile
        Whether the figure is a share of requests; which quantile (0 to 1) it is, if one.
    full
        For each round which rows met the full load (`timeline.under_load`): only these tell how alike neighbours are,
        for requests that meet an idle server in the same instant are alike in a way that says nothing about noise.
    """

    rounds: list[Floats]
    keys: list[NDArray[np.int64]]
    statistic: Statistic
    share: bool = False
    quantile: float | None = None
    full: list[NDArray[np.bool_]] | None = None

    @cached_property
    def rows(self) -> Floats:
        """All rounds' rows."""
        return np.concatenate(self.rounds)

    @cached_property
    def value(self) -> float:
        """The figure over all rounds."""
        return float(self.statistic(self.rows))

    def influence(self) -> list[Floats]:
        """What each row under full load adds to the figure (relative to it), one series a round, in order of time.

        Neighbours' likeness shows here.
        """
        if self.quantile is not None:
            limit = self.value
            series = [(rows[:, 0] <= limit).astype(np.float64) for rows in self.rounds]
        else:
            means = self.rows.mean(axis=0)
            scaled = [rows / np.where(means == 0, 1.0, means) for rows in self.rounds]
            series = [rows[:, 0] - (rows[:, 1] if rows.shape[1] > 1 else 0.0) for rows in scaled]
        if self.full is None:
            return series
        return [each[full] for each, full in zip(series, self.full, strict=True)]

    def of(self, keys: list[NDArray[np.int64]]) -> Sample:
        """The rows with these keys (one array a round), in the order of the keys."""
        places = []
        for own, wanted in zip(self.keys, keys, strict=True):
            order = np.argsort(own, kind="stable")
            places.append(order[np.searchsorted(own, wanted, sorter=order)])
        full = None if self.full is None else [each[place] for each, place in zip(self.full, places, strict=True)]
        rounds = [rows[place] for rows, place in zip(self.rounds, places, strict=True)]
        return replace(self, rounds=rounds, keys=list(keys), full=full)


_known: WeakKeyDictionary[Run, dict[tuple[int, str], Sample | None]] = WeakKeyDictionary()


def sample(run: Run, point: int, metric: str) -> Sample | None:
    """What a run gives for a metric at a point; None where the metric has no sample (or was not measured).

    Made once: every pair of a comparison, its rounds and its table look at the same one.
    """
    known = _known.setdefault(run, {})
    if (point, metric) not in known:
        known[point, metric] = _sample(run, point, metric, known)
    return known[point, metric]


def _sample(run: Run, point: int, metric: str, known: dict[tuple[int, str], Sample | None]) -> Sample | None:
    if run.given is not None:
        return None
    if metric in _TOKENS and told((answered := run.at(point)).output_tokens[answered.status == OK]) is None:
        return None  # without the server's counts nobody knows
    asked = run.asked[point]
    sliced = asked.get("concurrency") is None and metric in _THROUGHPUTS
    # all at once there is no steady part: the whole run is what the server was measured by
    whole = asked.get("arrival") == "throughput"
    if sliced and metric != ("output_throughput" if whole else "steady_output_throughput"):
        return None
    if sliced:
        columns = run.at(point)
        return _slices([columns.take(columns.repeat == each) for each in np.unique(columns.repeat)], whole=whole)
    streams = asked.get("concurrency")
    parts, loaded = _rounds(run, point, streams, whole=whole)
    if metric in _THROUGHPUTS:
        idle = [1.0 if whole else timeline.idle_factor(part, streams) for part in parts]
        return _throughput([part.take(full) for part, full in zip(parts, loaded, strict=True)], idle, metric)
    if metric == "goodput":
        return _goodput(parts, loaded, run.slo, interrupted=run.partial)
    which, _, rest = metric.partition("_")
    name = _LATENCIES.get(rest.removesuffix("_ms"))
    if name is None:
        return None
    if (point, name) not in known:
        known[point, name] = _latency(parts, loaded, name)
    values = known[point, name]
    if which == "mean" or values is None:
        return values
    q = 0.5 if which == "median" else int(which[1:]) / 100
    return replace(values, statistic=resampling.Quantile(q), quantile=q)


_Rounds = tuple[list[Columns], list[NDArray[np.bool_]]]
_seen: WeakKeyDictionary[Run, dict[int, _Rounds]] = WeakKeyDictionary()


def _rounds(run: Run, point: int, streams: int | None, *, whole: bool) -> _Rounds:
    """Each round's requests in the order of time, and which of them met the full load; the same for every metric."""
    known = _seen.setdefault(run, {})
    if point not in known:
        columns = run.measured.without_gaps().take(run.measured.point == point)
        parts = [columns.take(columns.repeat == each) for each in np.unique(columns.repeat)]
        parts = [part.take(np.lexsort((part.index, part.intended))) for part in parts]
        every = [np.ones(len(part), dtype=np.bool_) if whole else timeline.under_load(part, streams) for part in parts]
        known[point] = parts, every
    return known[point]


def _throughput(parts: Sequence[Columns], idle: Sequence[float], metric: str) -> Sample:
    """Closed loop, by Little's law: with C streams always busy, throughput is C * sum(tokens) / sum(time in flight).

    So the requests under full load carry the figure's scatter. A request that failed took its stream's time and gave
    nothing: it counts with that time and no tokens, as it does in what the server delivered. Where streams stood idle
    (a pause after requests that were refused at once), that time is shared out among the requests.
    """
    rounds, keys = [], []
    for each, factor in zip(parts, idle, strict=True):
        part = each.take(each.status != CANCELLED)
        amount = {
            "request_throughput": np.ones(len(part)),
            "output_throughput": np.maximum(part.output_tokens, 0).astype(np.float64),
            "total_token_throughput": (
                np.maximum(part.output_tokens, 0) + np.maximum(part.prompt_tokens, 0)
            ).astype(np.float64),
        }[metric.removeprefix("steady_")]  # fmt: skip
        stop = timeline.ends(part)
        took = np.where(np.isnan(stop), 0.0, stop - part.intended)
        rounds.append(np.column_stack([np.where(part.status == OK, amount, 0.0), took * factor]))
        keys.append(part.index)
    return Sample(rounds, keys, resampling.ratio)


def _slices(parts: Sequence[Columns], *, whole: bool) -> Sample | None:
    """Tokens per second in equal slices of the steady part, or of the whole from the first send to the last token."""
    rounds = []
    for part in parts:
        full = _extent(part) if whole else timeline.steady(part, None)
        if full is None:
            return None
        tokens = timeline.per_slice(part, *full, _SLICES)
        rounds.append((tokens * _SLICES / (full[1] - full[0]))[:, None])
    return Sample(rounds, [np.arange(_SLICES)] * len(rounds), resampling.mean)


def _extent(part: Columns) -> tuple[float, float] | None:
    last = part.last_token[~np.isnan(part.last_token)]
    return (float(np.nanmin(part.sent)), float(last.max())) if len(last) else None


def _goodput(
    parts: Sequence[Columns], loaded: Sequence[NDArray[np.bool_]], slo: dict[str, float], *, interrupted: bool
) -> Sample | None:
    if not slo:
        return None
    ended = [counted(part, interrupted=interrupted) for part in parts]
    full = [each[here] for each, here in zip(loaded, ended, strict=True)]
    kept = [part.take(here) for part, here in zip(parts, ended, strict=True)]
    rounds = [met(part, slo).astype(np.float64)[:, None] for part in kept]
    return Sample(rounds, [part.index for part in kept], resampling.mean, share=True, full=full)


def _latency(parts: Sequence[Columns], loaded: Sequence[NDArray[np.bool_]], name: str) -> Sample:
    """The requests' values; what figure is made of them is the metric's affair."""
    rounds, keys, full = [], [], []
    for part, each in zip(parts, loaded, strict=True):
        values = getattr(part, name)
        here = ~np.isnan(values) & (part.status == OK)
        rounds.append(values[here][:, None])
        keys.append(part.index[here])
        full.append(each[here])
    return Sample(rounds, keys, resampling.mean, full=full)
