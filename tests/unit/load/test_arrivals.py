"""Schedules: the load that was asked for, drawn once, the same for the same seed."""

from __future__ import annotations

import itertools
import math
import statistics
from typing import Any

import pytest

from llm_magics.load.arrivals import digest, schedule, stagger
from llm_magics.spec.workload import Workload


def times(**options: Any) -> list[float]:
    work = Workload(**options)
    found = schedule(work.points[0], work)
    assert found is not None
    return found


def test_constant_is_evenly_spaced() -> None:
    assert times(rate=4, arrival="constant", requests=5) == [0, 0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(
    "options", [{}, {"arrival": "gamma", "burstiness": 0.3}, {"arrival": "gamma", "burstiness": 5}]
)
@pytest.mark.parametrize("length", [{"requests": 400}, {"duration": "40s"}])
def test_offered_load_is_exactly_the_one_asked_for(options: dict[str, Any], length: dict[str, Any]) -> None:
    found = times(rate=10, **options, **length)
    assert len(found) == 400
    assert found[0] == 0
    assert found == sorted(found)
    assert 30 < found[-1] < 40  # the last gap, up to n / rate, is the end of the window


def test_gaps_have_the_spread_of_their_distribution() -> None:
    def variation(**options: Any) -> float:
        found = times(rate=1, requests=20_000, **options)
        gaps = [after - before for before, after in itertools.pairwise(found)]
        return statistics.stdev(gaps) / statistics.mean(gaps)

    assert variation() == pytest.approx(1, abs=0.05)
    assert variation(arrival="gamma", burstiness=4.0) == pytest.approx(1 / math.sqrt(4), abs=0.03)
    assert variation(arrival="gamma", burstiness=0.25) == pytest.approx(1 / math.sqrt(0.25), abs=0.15)


def test_seed_point_and_repeat_decide_the_draw() -> None:
    one, other = Workload(rate=5, requests=20), Workload(rate=5, requests=20, seed=1)
    point = one.points[0]
    drawn = [
        schedule(point, one), schedule(point, other), schedule(point, one, index=1), schedule(point, one, repeat=1)
    ]  # fmt: skip
    assert schedule(point, one) == drawn[0]
    assert len({digest(each or []) for each in drawn}) == 4


def test_all_at_once() -> None:
    assert times(rate="inf", requests=7) == [0.0] * 7
    assert times(arrival="throughput", requests=7) == [0.0] * 7


def test_closed_loops_have_no_schedule() -> None:
    for work in (Workload(concurrency=4), Workload(arrival="synchronous")):
        assert schedule(work.points[0], work) is None


def test_streams_start_apart_but_within_a_second() -> None:
    assert stagger(4) == 0.01
    assert stagger(1000) * 1000 == pytest.approx(1.0)
