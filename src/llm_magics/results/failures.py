"""Whether one side failed more of its requests than another: the first thing to say, before any figure.

A server that refuses nine requests of ten answers the tenth quickly. Latencies are those of the requests that were
answered, so where the shares of failures differ they compare survivors with everybody, and decide nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import NormalDist

from llm_magics.results import statistics
from llm_magics.results.effects import Effect
from llm_magics.results.run import Run

LATENCIES = ("_ttft_ms", "_tpot_ms", "_itl_ms", "_icl_ms", "_e2el_ms")


@dataclass(frozen=True)
class Failures:
    """Two sides whose shares of failed requests differ, and certainly so.

    Attributes
    ----------
    worse, other
        The side that failed more, and the other one.
    worse_share, other_share
        Failed requests / ended requests, over `points`.
    points
        Labels of the sweep points where the shares differ.
    """

    worse: str
    other: str
    worse_share: float
    other_share: float
    points: tuple[str, ...]


def unequal(runs: Mapping[str, Run], points: Sequence[str], level: float = statistics.LEVEL) -> list[Failures]:
    """Every pair of sides of which one failed more: over all points together, or at some of them.

    Two-proportion test, corrected (Holm) over all pairs and points. Where the sum over the points is certain, every
    point counts at which that side failed more.
    """
    counts = {label: [_counts(run, point) for point in points] for label, run in runs.items()}
    tests: list[tuple[str, str, int | None]] = [
        (a, b, place) for a, b in combinations(runs, 2) for place in (None, *range(len(points)))
    ]
    p_values = [two_proportions(*_of(counts[a], place), *_of(counts[b], place)) for a, b, place in tests]
    certain = {test for test, p in zip(tests, statistics.holm(p_values), strict=True) if p < 1 - level}
    found = []
    for a, b in combinations(runs, 2):
        for worse, other in ((a, b), (b, a)):
            more = [
                place
                for place in range(len(points))
                if _share(counts[worse][place]) > _share(counts[other][place])
                and ((a, b, place) in certain or ((a, b, None) in certain and _more(counts, worse, other)))
            ]
            if more:
                mine, theirs = (_share(_sum([counts[label][place] for place in more])) for label in (worse, other))
                found.append(Failures(worse, other, mine, theirs, tuple(points[place] for place in more)))
    return found


def without_survivors(effects: Sequence[Effect], failures: Sequence[Failures]) -> list[Effect]:
    """The effects, none of a latency judged where one of its sides failed more than the other."""
    unfair = {(frozenset((each.worse, each.other)), point) for each in failures for point in each.points}
    return [
        replace(effect, outcome="survivors")
        if effect.metric.endswith(LATENCIES) and (frozenset((effect.base, effect.other)), effect.point) in unfair
        else effect
        for effect in effects
    ]


def two_proportions(failed: int, ended: int, other_failed: int, other_ended: int) -> float:
    """Two-sided p that two shares are one: the z test with the pooled share and Yates' correction."""
    if not ended or not other_ended:
        return 1.0
    pooled = (failed + other_failed) / (ended + other_ended)
    error = math.sqrt(pooled * (1 - pooled) * (1 / ended + 1 / other_ended))
    if not error:
        return 1.0
    distance = abs(failed / ended - other_failed / other_ended) - (1 / ended + 1 / other_ended) / 2
    return 2 * (1 - NormalDist().cdf(max(distance, 0.0) / error))


def _counts(run: Run, point: str) -> tuple[int, int]:
    """Failed and ended requests at a point; those that the user cancelled are neither."""
    summary = next(each for each in run.points if each["label"] == point)
    failed = int(summary.get("failed") or 0)
    return failed, failed + int(summary.get("completed") or 0)


def _of(counts: Sequence[tuple[int, int]], place: int | None) -> tuple[int, int]:
    return _sum(counts) if place is None else counts[place]


def _sum(counts: Sequence[tuple[int, int]]) -> tuple[int, int]:
    return sum(failed for failed, _ in counts), sum(ended for _, ended in counts)


def _share(count: tuple[int, int]) -> float:
    return count[0] / count[1] if count[1] else 0.0


def _more(counts: Mapping[str, Sequence[tuple[int, int]]], worse: str, other: str) -> bool:
    return _share(_sum(counts[worse])) > _share(_sum(counts[other]))
