"""The bootstrap: how far a figure would move if other requests had been sent.

How resampling is done, and why. Requests are resampled, not blocks of them: with the 50 requests a notebook sends,
blocks long enough to hold the dependence between neighbours would be a handful, and a bootstrap of a handful is too
narrow. Instead the dependence is measured (`statistics.dependence`, tau: n dependent requests say as much as n / tau
independent ones) and the bootstrap's standard error is widened by sqrt(tau). Intervals are then Student's t,
on the log scale for times and throughputs (a ratio of 2 and of 1/2 are equally far), because a percentile bootstrap of
small samples is too narrow by itself (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section 4).
Where both sides were sent the same requests, pairs are resampled, so that what lies in the request and not in the
server cancels. Everything is seeded: the same runs give the same verdict. A resample is how often it drew each row:
drawn once for all metrics, a mean is then a product and a quantile a count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from llm_magics.results.columns import Floats

_RESAMPLES = 500  # known to 3 % then, which is little beside what t and tau leave
_MOST_ROWS = 10_000  # resampled at once; more requests only scale the error
_SEED = 20_101

Counts = NDArray[np.uint8]


class Statistic(Protocol):
    """How the rows of a sample (shape (n, columns)) become one figure."""

    def __call__(self, rows: Floats) -> float:
        """The figure of the rows."""

    def resampled(self, rows: Floats, counts: Counts) -> Floats:
        """The figure of each resample; `counts[i, r]` says how often resample r drew row i."""


@dataclass(frozen=True)
class Quantile:
    """The q-quantile (0 to 1) of the first column, interpolated linearly between order statistics as numpy does."""

    q: float

    def __call__(self, rows: Floats) -> float:
        ordered = np.sort(rows[:, 0])
        first, second, share = self._places(len(ordered))
        return float(ordered[first] + share * (ordered[second] - ordered[first]))

    def resampled(self, rows: Floats, counts: Counts) -> Floats:
        """By ranks: the sample is sorted once, a resample's order statistics are where enough was drawn below."""
        order = np.argsort(rows[:, 0], kind="stable")
        drawn = np.cumsum(counts[order], axis=0, dtype=np.uint16)
        first, second, share = self._places(len(rows))
        lower, upper = (rows[order[np.count_nonzero(drawn <= place, axis=0)], 0] for place in (first, second))
        return np.asarray(lower + share * (upper - lower))

    def _places(self, n: int) -> tuple[int, int, float]:
        place = (n - 1) * self.q
        first = int(place)
        return first, min(first + 1, n - 1), place - first


class _Mean:
    """The mean of the first column."""

    def __call__(self, rows: Floats) -> float:
        return float(rows[:, 0].mean())

    def resampled(self, rows: Floats, counts: Counts) -> Floats:
        return (rows[:, 0] @ counts.astype(np.float64)) / len(rows)


class _Ratio:
    """Sum of the first column over the sum of the second; 0 where the second is nothing."""

    def __call__(self, rows: Floats) -> float:
        return float(rows[:, 0].sum() / max(rows[:, 1].sum(), 1e-12))

    def resampled(self, rows: Floats, counts: Counts) -> Floats:
        above, below = rows[:, :2].T @ counts.astype(np.float64)
        return np.asarray(above / np.maximum(below, 1e-12))


mean: Statistic = _Mean()
ratio: Statistic = _Ratio()


@lru_cache(maxsize=16)
def _counts(n: int, resamples: int) -> Counts:
    """How often each of n rows is in each resample: the same for every metric, so that they are drawn once."""
    drawn = np.random.default_rng(_SEED).integers(0, n, (resamples, n))
    drawn += n * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=n * resamples).reshape(resamples, n)
    return np.ascontiguousarray(counts.T.astype(np.uint8))  # no row is drawn 256 times: by chance, once in 10^500


def bootstrap_error(samples: Sequence[Floats], statistic: Statistic, *, log: bool = True) -> float:
    """Bootstrap standard error of `statistic(last) - statistic(first)`, or of one sample's statistic.

    Parameters
    ----------
    samples
        One array, or two of equal length whose rows belong together (they are then resampled together); shape
        (n, columns).
    log
        Whether to take the logarithm of the statistic, so that the difference is that of a ratio.
    """
    whole = len(samples[0])
    if whole > _MOST_ROWS:
        # an even part of the rows stands for all: the error shrinks with the root of their number
        samples = [sample[:: math.ceil(whole / _MOST_ROWS)] for sample in samples]
    n = len(samples[0])
    counts = _counts(n, int(np.clip(2_000_000 // max(n, 1), 200, _RESAMPLES)))
    values = [statistic.resampled(sample, counts) for sample in samples]
    if log:
        values = [np.log(np.maximum(each, 1e-300)) for each in values]
    found = values[-1] - values[0] if len(values) > 1 else values[0]
    return float(found.std(ddof=1)) * math.sqrt(n / whole)
