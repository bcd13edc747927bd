"""Two clocks that are far apart: the estimate, and the bound that the truth must not leave."""

from __future__ import annotations

from random import Random

import pytest

from llm_magics.cluster.clock import Offset, estimate, measure


class Wire:
    """A scripted other machine: a clock that is off, and ways there and back that take their own time."""

    def __init__(self, skew: int, seed: int, *, slow: float = 1.0, ppm: float = 0.0) -> None:
        self.now, self.skew, self.random, self.slow, self.ppm = 10**12, skew, Random(seed), slow, ppm

    def ours(self) -> int:
        return self.now

    def read(self) -> int:
        self.now += int(self.random.expovariate(1 / 400_000) * self.slow) + 100_000  # there, the slower way
        reading = self.now + self.skew + round((self.now - 10**12) * self.ppm * 1e-6)
        self.now += int(self.random.expovariate(1 / 400_000)) + 100_000  # and back
        return reading


@pytest.mark.parametrize("skew", [0, 3_600 * 10**9, -86_400 * 10**9 + 7])
@pytest.mark.parametrize("slow", [1.0, 20.0], ids=["even", "one way takes longer"])
def test_the_truth_is_within_the_bound_whichever_way_takes_longer(skew: int, slow: float) -> None:
    for seed in range(200):
        wire = Wire(skew, seed, slow=slow)
        found = measure(wire.read, wire.ours)
        assert abs(found.offset - skew) <= found.error, seed
        assert found.error < 5_000_000


def test_a_drifting_clock_stays_within_bound_and_drift() -> None:
    for seed in range(100):
        wire = Wire(5 * 10**9, seed, ppm=50.0)
        first = measure(wire.read, wire.ours)
        wire.now += 60 * 10**9  # a minute, in which 50 ppm are 3 ms
        last = measure(wire.read, wire.ours)
        truth = 5 * 10**9 + round((wire.now - 10**12) * 50e-6)
        assert abs(first.offset - truth) <= first.error + first.drift(last) + last.error + 1_000


def test_more_exchanges_make_the_bound_no_worse() -> None:
    wire = Wire(0, 3)
    exchanges = []
    for _ in range(30):
        asked = wire.ours()
        exchanges.append((asked, wire.read(), wire.ours()))
    errors = [estimate(exchanges[: count + 1]).error for count in range(30)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0]


def test_a_clock_that_was_stepped_in_between_gives_the_shortest_round_trip() -> None:
    found = estimate([(0, 1_000_100, 200), (1_000, 5_001_050, 1_100)])
    assert found == Offset(5_000_000, 50)


def test_no_exchange_is_no_estimate() -> None:
    with pytest.raises(ValueError, match="no exchange"):
        estimate([])


def test_a_moment_is_said_on_the_other_clock() -> None:
    assert Offset(-5, 1).there(100) == 95
