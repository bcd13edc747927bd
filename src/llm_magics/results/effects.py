"""One difference between two targets at one sweep point, with its interval: what verdicts are made of.

Two sources of doubt are looked at, and the wider one counts. Within rounds: how far the requests (for rates: slices of
time) scatter. Between rounds: how far the difference moves from one interleaved round to the next, pooled over the
sweep points, for what a restart, a neighbour or a warm machine changes lies only there. With fewer than three rounds
the second cannot be seen, and the verdict says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from llm_magics.results import statistics
from llm_magics.results.columns import Floats
from llm_magics.results.run import Run
from llm_magics.results.samples import Sample, sample
from llm_magics.results.statistics import Doubt

LEAST_ROUNDS = 3
PAIRED_ROUNDS = 5

RoundFigures = tuple[Floats, Floats]
Outcome = Literal["different", "noise", "unsure", "few", "unmeasured"]


@dataclass(frozen=True)
class Effect:
    """How `other` differs from `base` in one metric at one point.

    Attributes
    ----------
    difference, low, high
        Relative to base (0.12: 12 % more), with its 95 % interval; for goodput the difference of the shares.
    p, corrected
        Two-sided p, and the same after Holm's correction over all effects of the comparison.
    detectable
        The smallest difference of the same kind that would have been found with 80 % power.
    requests, rounds
        Requests on the side that has fewer; rounds on both.
    outcome
        `different` (also after correction), `noise` (no difference seen), `unsure` (the interval excludes none, the
        correction does not), `few` (too few requests for this metric), `unmeasured` (no interval can be given).
    """

    point: str
    metric: str
    base: str
    other: str
    base_value: float
    other_value: float
    difference: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    corrected: float | None = None
    detectable: float | None = None
    requests: int = 0
    rounds: int = 0
    outcome: Outcome = "unmeasured"


def difference(point: str, metric: str, base: Run, other: Run, values: tuple[float, float], places: tuple[int, int]) -> Effect:  # fmt: skip  # noqa: E501
    """The effect of a metric between two runs, before the doubt between rounds and the correction are known.

    Parameters
    ----------
    values
        The figures as the summaries of base and other show them. Where the requests are there, the difference is that
        of their samples, which leaves ramp and drain out of a throughput.
    places
        The point's index in each run.
    """
    shares = metric == "goodput"
    effect = Effect(point, metric, base.label, other.label, *values, _distance(*values, shares))
    a, b = sample(base, places[0], metric), sample(other, places[1], metric)
    if a is None or b is None or not len(a.rows) or not len(b.rows):
        return effect
    effect = replace(effect, difference=_distance(a.value, b.value, shares))
    requests = min(len(a.rows), len(b.rows))
    effect = replace(effect, requests=requests, rounds=min(len(a.rounds), len(b.rounds)))
    if requests < statistics.least_requests(a.quantile or 0.5):
        return replace(effect, outcome="few")
    return with_doubt(effect, within(a, b))


def of_summaries(effect: Effect, *answered: int) -> Effect:
    """The effect between summaries: how many requests each side answered decides whether it may be spoken of."""
    share = effect.metric.removeprefix("p").partition("_")[0]
    q = int(share) / 100 if share.isdigit() else 0.5
    enough = min(answered) >= statistics.least_requests(q)
    return replace(effect, requests=min(answered), outcome=effect.outcome if enough else "few")


def within(a: Sample, b: Sample) -> Doubt:
    """The doubt that the requests' scatter leaves about the difference of two samples."""
    paired = len(a.rounds) == len(b.rounds) and all(map(np.array_equal, a.keys, b.keys))
    if a.share:
        errors = [statistics.share_error(s.rows.sum(), len(s.rows), statistics.dependence(s.influence()).tau) for s in (a, b)]  # fmt: skip  # noqa: E501
        return Doubt(math.hypot(*errors), df=1e6)
    if paired:
        series = [y - x for x, y in zip(a.influence(), b.influence(), strict=True)]
        alike = statistics.dependence(series)
        return Doubt(statistics.bootstrap_error([a.rows, b.rows], a.statistic) * math.sqrt(alike.tau), alike.df)
    doubts = [alone(each) for each in (a, b)]
    return Doubt(math.hypot(*(each.error for each in doubts)), _satterthwaite(doubts))


def alone(one: Sample) -> Doubt:
    """The doubt about the logarithm of one side's figure."""
    alike = statistics.dependence(one.influence())
    return Doubt(statistics.bootstrap_error([one.rows], one.statistic) * math.sqrt(alike.tau), alike.df)


def round_figures(metric: str, base: Run, other: Run, places: tuple[int, int]) -> RoundFigures:
    """Both sides' figure in each round, as logarithms (goodput: as it is), rounds matched in their order."""
    a, b = sample(base, places[0], metric), sample(other, places[1], metric)
    if a is None or b is None:
        return np.zeros(0), np.zeros(0)
    pairs = [(x, y) for x, y in zip(a.rounds, b.rounds, strict=False) if len(x) and len(y)]
    return scaled(metric, [float(a.statistic(x)) for x, _ in pairs], [float(b.statistic(y)) for _, y in pairs])


def scaled(metric: str, base: Sequence[float], other: Sequence[float]) -> RoundFigures:
    """The same from the figures of each round, where only those are there; a round without either is left out."""
    pairs = np.array(list(zip(base, other, strict=False)), dtype=np.float64).reshape(-1, 2)
    if metric != "goodput":
        pairs = np.log(pairs[(pairs > 0).all(axis=1)])
    return pairs[:, 0], pairs[:, 1]


def between(figures: Sequence[RoundFigures]) -> tuple[float, float] | None:
    """Variance of one round's difference, pooled over sweep points, and its degrees of freedom; None below 3 rounds.

    From five rounds on, base and other are paired round by round, so that what drifts on the machine cancels. With
    three or four, pairs leave too few degrees of freedom to find anything: each side's own scatter is taken, which
    holds the drift as well and so can only be too wide.
    """
    enough = [(a, b) for a, b in figures if len(a) >= LEAST_ROUNDS]
    if not enough:
        return None
    paired = min(len(a) for a, _ in enough) >= PAIRED_ROUNDS
    series = [[b - a] if paired else [a, b] for a, b in enough]
    squares = sum(float(((each - each.mean()) ** 2).sum()) for sides in series for each in sides)
    df = sum(len(each) - 1 for sides in series for each in sides)
    return squares / df * (1 if paired else 2), float(df)


def with_doubt(effect: Effect, doubt: Doubt) -> Effect:
    """The effect with interval, p and detectable difference; of two doubts given in turn the wider interval stays."""
    shares = effect.metric == "goodput"
    distance = effect.difference if shares else math.log1p(effect.difference) if effect.difference > -1 else -math.inf
    if not math.isfinite(distance) or not math.isfinite(doubt.error):
        return effect
    half, seen = doubt.half_width(), doubt.detectable()
    back = (lambda x: x) if shares else math.expm1
    low, high = back(distance - half), back(distance + half)
    p = doubt.p_value(distance)
    if effect.low is not None and effect.high is not None:
        low, high = min(low, effect.low), max(high, effect.high)
        p = max(p, effect.p or 0.0)
        return replace(effect, low=low, high=high, p=p, detectable=max(back(seen), effect.detectable or 0.0))
    return replace(effect, low=low, high=high, p=p, detectable=back(seen))


def judged(effects: Sequence[Effect], level: float = statistics.LEVEL) -> list[Effect]:
    """The effects with Holm's correction over all that were tested, and what follows from it."""
    tested = [place for place, effect in enumerate(effects) if effect.p is not None]
    corrected = statistics.holm([effects[place].p or 0.0 for place in tested])
    found = list(effects)
    for place, p in zip(tested, corrected, strict=True):
        plain = effects[place].p or 0.0
        outcome: Outcome = "different" if p < 1 - level else "unsure" if plain < 1 - level else "noise"
        found[place] = replace(effects[place], corrected=p, outcome=outcome)
    return found


def _distance(base: float, other: float, shares: bool) -> float:
    if shares:
        return other - base
    return other / base - 1 if base else math.nan


def _satterthwaite(doubts: Sequence[Doubt]) -> float:
    total = sum(each.error**2 for each in doubts)
    return total**2 / sum(each.error**4 / each.df for each in doubts) if total else 1e6
