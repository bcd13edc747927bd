"""What of a run carries each metric's scatter: the rows that are resampled to see how sure a figure is.

A latency is carried by requests. A throughput of a closed loop is carried by requests too (Little's law), that of an
open loop by slices of time, because there the schedule decides which requests fall where.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llm_magics.results import statistics, timeline
from llm_magics.results.columns import CANCELLED, OK, Columns, Floats
from llm_magics.results.run import Run
from llm_magics.results.statistics import Statistic
from llm_magics.results.summary import met

_SLICES = 40
_THROUGHPUTS = ("output_throughput", "steady_output_throughput", "request_throughput", "total_token_throughput")
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
    """

    rounds: list[Floats]
    keys: list[NDArray[np.int64]]
    statistic: Statistic
    share: bool = False
    quantile: float | None = None

    @property
    def rows(self) -> Floats:
        """All rounds' rows."""
        return np.concatenate(self.rounds)

    @property
    def value(self) -> float:
        """The figure over all rounds."""
        return float(self.statistic(self.rows))

    def influence(self) -> list[Floats]:
        """What each row adds to the figure (relative to it), one series a round: neighbours' likeness shows here."""
        if self.quantile is not None:
            limit = self.value
            return [(rows[:, 0] <= limit).astype(np.float64) for rows in self.rounds]
        means = self.rows.mean(axis=0)
        scaled = [rows / np.where(means == 0, 1.0, means) for rows in self.rounds]
        return [rows[:, 0] - (rows[:, 1] if rows.shape[1] > 1 else 0.0) for rows in scaled]


def sample(run: Run, point: int, metric: str) -> Sample | None:
    """What a run gives for a metric at a point; None where the metric has no sample (or was not measured)."""
    if run.given is not None:
        return None
    asked = run.asked[point]
    sliced = asked.get("concurrency") is None and metric in _THROUGHPUTS
    # all at once there is no steady part: the whole run is what the server was measured by
    whole = asked.get("arrival") == "throughput"
    if sliced and metric != ("output_throughput" if whole else "steady_output_throughput"):
        return None
    columns = run.at(point) if sliced else run.measured.without_gaps().take(run.measured.point == point)
    parts = [columns.take(columns.repeat == each) for each in np.unique(columns.repeat)]
    if sliced:
        return _slices(parts, whole=whole)
    parts = [part.take(np.lexsort((part.index, part.intended))) for part in parts]
    if metric in _THROUGHPUTS:
        return _throughput([part.take(part.status == OK) for part in parts], metric)
    if metric == "goodput":
        return _goodput(parts, run.slo)
    return _latency([part.take(part.status == OK) for part in parts], metric)


def _throughput(parts: Sequence[Columns], metric: str) -> Sample:
    """Closed loop, by Little's law: with C streams always busy, throughput is C * sum(tokens) / sum(time in flight).

    So the requests carry the figure's scatter, without the ramp and drain at its ends.
    """
    rounds = []
    for part in parts:
        amount = {
            "request_throughput": np.ones(len(part)),
            "output_throughput": np.maximum(part.output_tokens, 0).astype(np.float64),
            "total_token_throughput": (
                np.maximum(part.output_tokens, 0) + np.maximum(part.prompt_tokens, 0)
            ).astype(np.float64),
        }[metric.removeprefix("steady_")]  # fmt: skip
        rounds.append(np.column_stack([amount, timeline.ends(part) - part.intended]))
    return Sample(rounds, [part.index for part in parts], statistics.ratio)


def _slices(parts: Sequence[Columns], *, whole: bool) -> Sample | None:
    """Tokens per second in equal slices of the steady part, or of the whole from the first send to the last token."""
    rounds = []
    for part in parts:
        full = _extent(part) if whole else timeline.steady(part, None)
        if full is None:
            return None
        tokens = timeline.per_slice(part, *full, _SLICES)
        rounds.append((tokens * _SLICES / (full[1] - full[0]))[:, None])
    return Sample(rounds, [np.arange(_SLICES)] * len(rounds), statistics.mean)


def _extent(part: Columns) -> tuple[float, float] | None:
    last = part.last_token[~np.isnan(part.last_token)]
    return (float(np.nanmin(part.sent)), float(last.max())) if len(last) else None


def _goodput(parts: Sequence[Columns], slo: dict[str, float]) -> Sample | None:
    if not slo:
        return None
    ended = [part.take(part.status != CANCELLED) for part in parts]
    rounds = [met(part, slo).astype(np.float64)[:, None] for part in ended]
    return Sample(rounds, [part.index for part in ended], statistics.mean, share=True)


def _latency(parts: Sequence[Columns], metric: str) -> Sample | None:
    which, _, rest = metric.partition("_")
    name = _LATENCIES.get(rest.removesuffix("_ms"))
    if name is None:
        return None
    rounds, keys = [], []
    for part in parts:
        values = getattr(part, name)
        here = ~np.isnan(values) & (values > 0)
        rounds.append(values[here][:, None])
        keys.append(part.index[here])
    if which == "mean":
        return Sample(rounds, keys, statistics.mean)
    q = 0.5 if which == "median" else int(which[1:]) / 100
    return Sample(rounds, keys, statistics.quantile(q), quantile=q)
