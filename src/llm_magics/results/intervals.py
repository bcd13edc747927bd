"""The interval of one figure of one run: what error bars and tables show.

Whether two targets differ is another question, answered by `effects`: intervals that overlap do not say "no".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from llm_magics.results import statistics
from llm_magics.results.effects import LEAST_ROUNDS, alone
from llm_magics.results.samples import Sample, sample
from llm_magics.results.statistics import Doubt

if TYPE_CHECKING:
    from llm_magics.results.run import Run

Interval = tuple[float | None, float | None]
_NONE: Interval = (None, None)
_WIDEST = math.log(2)


def interval(run: Run, point: int, metric: str, value: float | None, rounds: Sequence[Run] = ()) -> Interval:
    """The 95 % interval of a figure, in its own unit; an end that cannot be given is None.

    Percentiles by order statistics, goodput by Wilson, means and throughputs by the bootstrap; with three rounds or
    more at least as wide as the rounds' own scatter says. Where the requests hold too few independent ones, only the
    rounds can give one; an interval that reaches beyond twice or half of the figure says nothing and is not given.

    Parameters
    ----------
    run, point, metric, value
        The (pooled) run, the index of the point in it, the figure's key and value.
    rounds
        The runs it was pooled from; needed only where runs have summaries and no requests.
    """
    if value is None:
        return _NONE
    one = sample(run, point, metric)
    if one is None:
        label = run.points[point].get("label") if run.given is not None else None
        given = [each.get(metric) for each_run in rounds for each in each_run.points if each["label"] == label]
        return _of_rounds([each for each in given if isinstance(each, (int, float))], value)
    if len(one.rows) < statistics.LEAST_REQUESTS:
        return _NONE
    alike = statistics.dependence(one.influence())
    figures = [float(one.statistic(rows)) for rows in one.rounds if len(rows)]
    bottom, top = _NONE if one.share else _of_rounds(figures, value)
    if not alike.enough:
        return bottom, top
    low, high = _within(one, value, alike.tau)
    if low is not None and high is not None and bottom is not None and top is not None:
        low, high = min(low, bottom), max(high, top)
    return low, high


def _within(one: Sample, value: float, tau: float) -> Interval:
    if one.share:
        return statistics.wilson(float(one.rows.sum()) / tau, len(one.rows) / tau)
    if one.quantile is not None:
        low, high = (each * 1e3 for each in statistics.percentile_interval(one.rows[:, 0], one.quantile, tau=tau))
        return (low if math.isfinite(low) else None), (high if math.isfinite(high) else None)
    return _around(value, alone(one).half_width())


def _of_rounds(figures: Sequence[float], value: float) -> Interval:
    if len(figures) < LEAST_ROUNDS or min(figures) <= 0:
        return _NONE
    scatter = float(np.std(np.log(figures), ddof=1))
    return _around(value, Doubt(scatter / math.sqrt(len(figures)), len(figures) - 1.0).half_width())


def _around(value: float, half: float) -> Interval:
    """The interval on the log scale; none where it is wider than anything that would help."""
    return (value * math.exp(-half), value * math.exp(half)) if half <= _WIDEST else _NONE
