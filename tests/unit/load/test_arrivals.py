"""Schedules: the load that was asked for, drawn once, the same for the same seed."""

from __future__ import annotations

import itertools
import math
import statistics
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_magics.load.arrivals import digest, reached, schedule, stagger, streams
from llm_magics.load.steps import schedules, steps_of
from llm_magics.spec.arrivals import Ramp
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


SHAPES = st.sampled_from(["linear", "exponential"])
RATES = st.floats(0.5, 50)


@settings(max_examples=40, deadline=None)
@given(RATES, RATES, SHAPES, st.sampled_from(["constant", "poisson", "gamma"]), st.integers(0, 1000))
def test_a_ramp_has_its_mean_rate_and_stays_in_its_time(
    low: float, high: float, shape: str, arrival: str, seed: int
) -> None:
    ramp = {"from": low, "to": high, "duration": 20, "shape": shape}
    options = {"burstiness": 0.5} if arrival == "gamma" else {}
    found = times(rate=ramp, arrival=arrival, seed=seed, **options)
    mean = Workload(rate=ramp).points[0].rate or 0.0
    assert len(found) == max(1, round(mean * 20))
    assert found == sorted(found)
    assert found[0] == 0
    assert found[-1] < 20


@settings(max_examples=30, deadline=None)
@given(RATES, RATES, SHAPES)
def test_a_constant_ramp_passes_every_rate_when_it_should(low: float, high: float, shape: Any) -> None:
    when, duration = reached(Ramp(low, high, None, shape), 10.0), 10.0
    for share in (0.1, 0.5, 0.9):
        at = share * duration
        rate = low + (high - low) * share if shape == "linear" else low * (high / low) ** share
        due = integral(low, high, shape, at, duration)
        assert when(due) == pytest.approx(at, rel=1e-6)
        step = 1e-4
        assert step / (when(due + step) - when(due)) == pytest.approx(rate, rel=1e-2)


def integral(low: float, high: float, shape: str, at: float, duration: float) -> float:
    """Requests due by `at`, by the midpoint rule."""
    slices = 20_000
    total = 0.0
    for number in range(slices):
        share = (number + 0.5) / slices * at / duration
        total += low + (high - low) * share if shape == "linear" else low * (high / low) ** share
    return total * at / slices


def test_streams_of_a_ramp_come_and_go_evenly() -> None:
    starts, stops = streams(Workload(concurrency={"from": 1, "to": 5, "duration": 8}).points[0], 8.0)
    assert (starts, stops) == ([0.0, 2.0, 4.0, 6.0, 8.0], [])
    starts, stops = streams(Workload(concurrency={"from": 4, "to": 1, "duration": 9}).points[0], 9.0)
    assert len(starts) == 4
    assert stops == [3.0, 6.0, 9.0]


def test_stages_are_one_step_of_exact_counts() -> None:
    stages = [{"rate": rate, "duration": 2} for rate in (5, 20, 1)]
    work = Workload(stages=stages, warmup=0)
    (step,) = steps_of(work)
    assert [len(each) for point in range(3) for each in schedules([step], point)] == [10, 40, 2]
    assert [part["start"] for part in step["parts"]] == [0, 2, 4]
    assert all(each[0] == 0 and each[-1] < 2 for point in range(3) for each in schedules([step], point))
    assert step["times"] == sorted(step["times"])


def test_streams_of_stages_add_up() -> None:
    work = Workload(stages=[{"concurrency": level, "duration": 2} for level in (2, 5, 1)])
    (step,) = steps_of(work)
    assert len(step["starts"]) == 5
    assert [when for when in step["starts"] if when >= 2.0] == step["starts"][2:]
    assert step["stops"] == [4.0] * 4
    assert step["streams"] == 5


def test_a_schedule_is_the_same_in_another_process() -> None:
    options = {"stages": [{"rate": {"from": 3, "to": 9}, "duration": 5}, {"rate": 4, "duration": 3}]}
    here = [digest(each) for point in range(2) for each in schedules(steps_of(Workload(**options)), point)]
    program = (
        "from llm_magics.load.arrivals import digest\n"
        "from llm_magics.load.steps import schedules, steps_of\n"
        "from llm_magics.spec import Workload\n"
        f"steps = steps_of(Workload(**{options!r}))\n"
        "print(*[digest(each) for point in range(2) for each in schedules(steps, point)])"
    )
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert there == here
