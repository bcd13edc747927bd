"""How sure a figure is: intervals, differences, what could have been seen, correction for many looks."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from llm_magics.results.columns import Floats
from llm_magics.results.distributions import binomial_at_least, noncentrality, t_cdf, t_quantile

LEVEL = 0.95
POWER = 0.80
LEAST_REQUESTS = 10
LEAST_DF = 4.0  # below, Student's t is so wide that an interval says nothing and looks like something


@dataclass(frozen=True)
class Doubt:
    """The standard error of an estimate and how many degrees of freedom it rests on."""

    error: float
    df: float

    def half_width(self, level: float = LEVEL) -> float:
        """Half the width of the two-sided t interval."""
        return t_quantile((1 + level) / 2, self.df) * self.error

    def p_value(self, distance: float) -> float:
        """Two-sided p of an estimate that lies `distance` from no difference."""
        if self.error == 0:
            return 1.0 if distance == 0 else 0.0
        return 2 * (1 - t_cdf(abs(distance) / self.error, self.df))

    def detectable(self, level: float = LEVEL, power: float = POWER) -> float:
        """The smallest true distance that would be found with this power.

        With few degrees of freedom the error itself is uncertain, and the power of the t test (noncentral t) asks for
        more than (t_(1-a/2) + t_power) * error. The error is taken at its median, (1 - 2 / (9 df))^(3/2) of the true
        one (Wilson and Hilferty 1931), or more than half of all verdicts would promise too much.
        """
        median = math.pow(1 - 2 / (9 * self.df), 1.5)
        return noncentrality((1 + level) / 2, power, self.df) * self.error / median


@dataclass(frozen=True)
class Dependence:
    """How alike neighbours are: `tau` of them say what one independent request would; `df` it is known with.

    `enough` is False where too few of the requests are independent for their scatter to be known: no interval then.
    """

    tau: float
    df: float
    capped: bool = False

    @property
    def enough(self) -> bool:
        """Whether an interval may rest on it."""
        return not self.capped and self.df >= LEAST_DF


def dependence(series: Sequence[Floats]) -> Dependence:
    """tau = 1 + 2 * sum of autocorrelations, at least 1, of requests in the order they were sent.

    The sum ends where a pair of successive autocorrelations is no longer positive (Geyer 1992, initial positive
    sequence), at lag W. Short series make it too small: by a factor of 1 + (2W + 1) / n through the mean that is taken
    off (Wolff 2004, "Monte Carlo errors with less errors", equation 49), and by as much again, as simulation shows,
    because the sum is cut off early; it is corrected for both. The variance that is scaled with it is known with
    n / (2W + 1) degrees of freedom (equation 42). Several series (rounds) are pooled, never joined end to end.
    """
    kept = [each - each.mean() for each in series if len(each) > 3]
    n = sum(len(each) for each in series)
    variance = sum(float(each @ each) for each in kept)
    if variance <= 0:
        return Dependence(1.0, max(n - 1.0, 1.0))
    longest = max(len(each) for each in kept) // 2

    def rho(lag: int) -> float:
        return sum(float(each[:-lag] @ each[lag:]) for each in kept if len(each) > lag) / variance

    tau, window = 1.0, 0
    while window + 2 <= longest:
        pair = rho(window + 1) + rho(window + 2)
        if pair <= 0:
            break
        tau += 2 * pair
        window += 2
    spread = (2 * window + 1) / n
    corrected = tau * (1 + 2 * spread * len(series)) if window else tau
    capped = corrected >= n / 2 or window + 2 > longest
    return Dependence(float(min(max(corrected, 1.0), n / 2)), max(1 / spread - 1, 1.0), capped)


def percentile_interval(samples: Floats, q: float, *, tau: float = 1.0, level: float = LEVEL) -> tuple[float, float]:
    """Interval of the q-quantile (0 to 1) by order statistics: no assumption about the shape of the samples.

    The ranks are those between which a binomial count of samples below the true quantile lies with `level`; with
    dependent samples the count of independent ones, n / tau, sets their distance. An end that the sample cannot
    give (p99 of 100 requests has no upper one) is infinite.
    """
    ordered = np.sort(samples)
    n, effective = len(ordered), max(int(len(ordered) / tau), 1)
    tail = (1 - level) / 2
    ranks = range(1, effective + 2)
    # the largest rank with P(count < rank) <= tail, and the smallest with P(count >= rank) <= tail
    low = bisect_left(ranks, True, key=lambda rank: 1 - binomial_at_least(rank, effective, q) > tail)
    high = 1 + bisect_left(ranks, True, key=lambda rank: binomial_at_least(rank, effective, q) <= tail)
    bottom = float(ordered[max(math.ceil(low * n / effective) - 1, 0)]) if low >= 1 else -math.inf
    top = float(ordered[min(math.ceil(high * n / effective), n) - 1]) if high <= effective else math.inf
    return bottom, top


def least_requests(q: float) -> int:
    """Requests below which the q-quantile (0 to 1) gets no verdict: 3 / (1 - q), so 300 for p99."""
    return max(LEAST_REQUESTS, math.ceil(3 / (1 - q) - 1e-9))


def wilson(good: float, total: float, *, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval of a share."""
    if total <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, weight = good / total, z * z / total
    middle = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt(share * (1 - share) / total + weight / (4 * total)) / (1 + weight)
    # At a share of 0 or 1 that end is exactly there; rounding would leave it a hair inside.
    return 0.0 if good <= 0 else max(0.0, middle - half), 1.0 if good >= total else min(1.0, middle + half)


def share_error(good: float, total: float, tau: float = 1.0) -> float:
    """Standard error of a share, after Agresti and Caffo (2000): one success and one failure added."""
    effective = total / tau
    share = (good / tau + 1) / (effective + 2)
    return math.sqrt(share * (1 - share) / (effective + 2))


def holm(p_values: Sequence[float], weights: Sequence[float] | None = None) -> list[float]:
    """p-values corrected for their number (Holm 1979): below 0.05, none of all looks errs with more than 5 %.

    With weights (his section 4) a test with twice the weight may have twice the p; only their ratios count.
    """
    weight = np.ones(len(p_values)) if weights is None else np.asarray(weights, dtype=np.float64)
    scaled = np.asarray(p_values, dtype=np.float64) / weight
    corrected, worst, left = [0.0] * len(p_values), 0.0, float(weight.sum())
    for place in np.argsort(scaled, kind="stable"):
        worst = max(worst, min(1.0, left * float(scaled[place])))
        corrected[place] = worst
        left -= float(weight[place])
    return corrected
