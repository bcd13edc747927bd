"""One difference between two targets at one sweep point, with its interval: what verdicts are made of.

Two sources of doubt are looked at, and the wider one counts. Within rounds: how far the requests (for rates: slices of
time) scatter. Between rounds: how far the difference moves from one interleaved round to the next, pooled over the
sweep points, for what a restart, a neighbour or a warm machine changes lies only there. With fewer than three rounds
the second cannot be seen, and the verdict says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from llm_magics.results import resampling, statistics
from llm_magics.results.columns import Floats
from llm_magics.results.run import Run
from llm_magics.results.samples import Sample, sample
from llm_magics.results.statistics import Dependence, Doubt

LEAST_ROUNDS = 3
PAIRED_ROUNDS = 5
_PAIRED_SHARE = 0.8  # of the requests must be common to both sides (some failed, or ended as streams ran dry)

RoundFigures = tuple[Floats, Floats]
Outcome = Literal["different", "once", "noise", "unsure", "few", "dependent", "survivors", "unmeasured"]


@dataclass(frozen=True)
class Effect:
    """How `other` differs from `base` in one metric at one point.

    Attributes
    ----------
    difference, low, high
        Relative to base (0.12: 12 % more), with its interval (95 %, over all looks: see `looks`); for goodput the
        difference of the shares.
    p, corrected
        Two-sided p, and the same after Holm's correction over all effects of the comparison.
    detectable
        The smallest difference of the same kind that would have been found with 80 % power, the correction included.
    requests, rounds
        Requests on the side that has fewer; rounds on both.
    outcome
        `different` (also after correction), `once` (the same, but with fewer than three rounds: what a second run
        would say is not known), `noise` (no difference seen), `unsure` (the interval excludes none, the correction
        does not), `few` (too few requests for this metric), `dependent` (too few of them are independent),
        `survivors` (a latency where one side failed more: of the requests it did answer), `unmeasured` (no interval
        can be given).
    doubts
        What interval and p come from: within rounds, between rounds; the wider one counts.
    part
        Of the error that the whole comparison may make, what this effect may when it is the only difference.
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
    doubts: tuple[Doubt, ...] = field(default=(), repr=False)
    part: float = field(default=1.0, repr=False)


def difference(
    point: str, metric: str, base: Run, other: Run, values: tuple[float, float], places: tuple[int, int],
    level: float = statistics.LEVEL,
) -> Effect:  # fmt: skip
    """The effect of a metric between two runs, before the doubt between rounds and the correction are known.

    Parameters
    ----------
    values
        The figures as the summaries of base and other show them. Where the requests are there, the difference is that
        of their samples, which leaves ramp and drain out of a throughput.
    places
        The point's index in each run.
    level
        Of the interval.
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
    doubt = within(a, b)
    return with_doubt(effect, doubt, level) if math.isfinite(doubt.error) else replace(effect, outcome="dependent")


def of_summaries(effect: Effect, *answered: int) -> Effect:
    """The effect between summaries: how many requests each side answered decides whether it may be spoken of."""
    share = effect.metric.removeprefix("p").partition("_")[0]
    q = int(share) / 100 if share.isdigit() else 0.5
    enough = min(answered) >= statistics.least_requests(q)
    return replace(effect, requests=min(answered), outcome=effect.outcome if enough else "few")


def within(a: Sample, b: Sample) -> Doubt:
    """The doubt that the requests' scatter leaves about the difference of two samples; infinite where it is unknown."""
    if a.share:
        alikes = [statistics.dependence(each.influence()) for each in (a, b)]
        if not all(alike.enough for alike in alikes):
            return Doubt(math.inf, 1.0)
        errors = [statistics.share_error(s.rows.sum(), len(s.rows), alike.tau) for s, alike in zip((a, b), alikes, strict=True)]  # fmt: skip  # noqa: E501
        return Doubt(math.hypot(*errors), df=1e6)
    if pairs := _paired(a, b):
        series = [y - x for x, y in zip(pairs[0].influence(), pairs[1].influence(), strict=True)]
        return _widened([each.rows for each in pairs], a, statistics.dependence(series))
    doubts = [alone(each) for each in (a, b)]
    return Doubt(math.hypot(*(each.error for each in doubts)), _satterthwaite(doubts))


def alone(one: Sample) -> Doubt:
    """The doubt about the logarithm of one side's figure; infinite where too few requests are independent."""
    return _widened([one.rows], one, statistics.dependence(one.influence()))


def _widened(rows: Sequence[Floats], one: Sample, alike: Dependence) -> Doubt:
    if not alike.enough:
        return Doubt(math.inf, 1.0)
    return Doubt(resampling.bootstrap_error(rows, one.statistic) * math.sqrt(alike.tau), alike.df)


def _paired(a: Sample, b: Sample) -> tuple[Sample, Sample] | None:
    """The rows of requests that both sides have, if those are nearly all; else the sides are apart."""
    if len(a.rounds) != len(b.rounds):
        return None
    if all(np.array_equal(x, y) for x, y in zip(a.keys, b.keys, strict=True)):
        one, other = a, b
    else:
        keys = [np.intersect1d(x, y) for x, y in zip(a.keys, b.keys, strict=True)]
        if sum(map(len, keys)) < _PAIRED_SHARE * min(len(a.rows), len(b.rows)):
            return None
        one, other = a.of(keys), b.of(keys)
    if one.full is not None and other.full is not None:
        both = [x & y for x, y in zip(one.full, other.full, strict=True)]
        one, other = replace(one, full=both), replace(other, full=both)
    return one, other


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


def with_doubt(effect: Effect, doubt: Doubt, level: float = statistics.LEVEL) -> Effect:
    """The effect with interval and p; of two doubts given in turn the wider interval stays."""
    distance = effect.difference
    if effect.metric != "goodput":
        distance = math.log1p(effect.difference) if effect.difference > -1 else -math.inf
    if not math.isfinite(distance) or not math.isfinite(doubt.error):
        return effect
    half, back = doubt.half_width(level), _back(effect)
    low, high, p = back(distance - half), back(distance + half), doubt.p_value(distance)
    if effect.low is not None and effect.high is not None:
        low, high, p = min(low, effect.low), max(high, effect.high), max(p, effect.p or 0.0)
    return replace(effect, low=low, high=high, p=p, doubts=(*effect.doubts, doubt))


def judged(
    effects: Sequence[Effect], level: float = statistics.LEVEL, weights: Mapping[str, float] | None = None
) -> list[Effect]:
    """The effects with Holm's correction over all that were tested, and what follows from it.

    `weights` says how much of the permitted error each metric may use (1 where it says nothing). What would have been
    found is said of a difference that stands alone: Holm's first step, at which it has its own share of the error.
    """
    tested = [place for place, effect in enumerate(effects) if effect.p is not None]
    shares = [(weights or {}).get(effects[place].metric, 1.0) for place in tested]
    corrected = statistics.holm([effects[place].p or 0.0 for place in tested], shares)
    found = list(effects)
    for place, p, share in zip(tested, corrected, shares, strict=True):
        effect = effects[place]
        plain = effect.p or 0.0
        certain: Outcome = "different" if effect.rounds >= LEAST_ROUNDS else "once"
        outcome: Outcome = certain if p < 1 - level else "unsure" if plain < 1 - level else "noise"
        part = share / sum(shares)
        seen = max(doubt.detectable(1 - (1 - level) * part) for doubt in effect.doubts)
        found[place] = replace(effect, corrected=p, outcome=outcome, detectable=_back(effect)(seen), part=part)
    return found


def _back(effect: Effect) -> Callable[[float], float]:
    """From the scale of the tests (logarithms of figures; shares as they are) to relative differences."""
    return (lambda x: x) if effect.metric == "goodput" else (lambda x: math.expm1(min(x, 700.0)))


def _distance(base: float, other: float, shares: bool) -> float:
    if shares:
        return other - base
    return other / base - 1 if base else math.nan


def _satterthwaite(doubts: Sequence[Doubt]) -> float:
    total = sum(each.error**2 for each in doubts)
    return total**2 / sum(each.error**4 / each.df for each in doubts) if total else 1e6
