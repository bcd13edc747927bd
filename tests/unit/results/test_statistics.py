"""If these fail, intervals are wider or narrower than the 95 % they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from llm_magics.results import statistics
from llm_magics.results.distributions import beta_cdf, binomial_at_least, t_cdf, t_quantile
from llm_magics.results.statistics import Doubt


@pytest.mark.parametrize(
    ("p", "df", "t"),
    [(0.975, 1, 12.706205), (0.975, 2, 4.302653), (0.975, 4, 2.776445),
     (0.995, 10, 3.169273), (0.95, 30, 1.697261), (0.975, 1e7, 1.959964)],
)  # fmt: skip
def test_students_t_as_in_the_tables(p: float, df: float, t: float) -> None:
    assert t_quantile(p, df) == pytest.approx(t, abs=1e-5)
    assert t_quantile(1 - p, df) == pytest.approx(-t, abs=1e-5)
    assert t_cdf(t, df) == pytest.approx(p, abs=1e-7)


def test_beta_and_binomial() -> None:
    assert beta_cdf(0.5, 2, 3) == pytest.approx(0.6875)
    assert (beta_cdf(0, 2, 3), beta_cdf(1, 2, 3)) == (0, 1)
    exact = sum(math.comb(20, k) * 0.3**k * 0.7 ** (20 - k) for k in range(8, 21))
    assert binomial_at_least(8, 20, 0.3) == pytest.approx(exact)
    assert (binomial_at_least(0, 5, 0.1), binomial_at_least(6, 5, 0.1)) == (1, 0)


def test_interval_of_the_median_is_the_textbook_one() -> None:
    """Ranks 40 and 61 of 100 (Conover, Practical Nonparametric Statistics)."""
    assert statistics.percentile_interval(np.arange(1.0, 101.0), 0.5) == (40, 61)


def test_a_p99_of_100_requests_has_no_upper_end() -> None:
    low, high = statistics.percentile_interval(np.arange(1.0, 101.0), 0.99)
    assert math.isinf(high)
    assert 95 <= low <= 99
    assert statistics.least_requests(0.99) == 300
    assert statistics.least_requests(0.9) == 30


@pytest.mark.parametrize("q", [0.5, 0.9, 0.99])
def test_percentile_intervals_hold_the_truth_95_times_in_100(q: float) -> None:
    rng = np.random.default_rng(1)
    truth = -math.log(1 - q)
    held = 0
    for _ in range(400):
        low, high = statistics.percentile_interval(rng.exponential(size=500), q)
        held += low <= truth <= high
    assert held / 400 >= 0.93


def test_dependence_is_about_one_for_independent_requests_and_the_truth_for_an_ar1() -> None:
    rng = np.random.default_rng(2)
    independent = [statistics.dependence([rng.normal(size=300)]).tau for _ in range(100)]
    assert 1.0 <= np.mean(independent) < 1.25  # never below, so a little above
    found = []
    for _ in range(100):
        series = np.zeros(1000)
        for i in range(1, 1000):
            series[i] = 0.6 * series[i - 1] + rng.normal()
        found.append(statistics.dependence([series]).tau)
    assert np.mean(found) == pytest.approx(1.6 / 0.4, rel=0.15)
    assert statistics.dependence([np.ones(50)]).tau == 1.0


def test_doubt() -> None:
    doubt = Doubt(error=0.02, df=1e6)
    assert doubt.half_width() == pytest.approx(0.0392, abs=1e-4)
    assert doubt.p_value(0.0392) == pytest.approx(0.05, abs=1e-3)
    assert doubt.detectable() == pytest.approx((1.95996 + 0.84162) * 0.02, abs=1e-5)
    assert doubt.detectable(0.99) == pytest.approx((2.57583 + 0.84162) * 0.02, abs=1e-5)
    assert Doubt(0.0, 5).p_value(0.0) == 1.0
    assert Doubt(0.0, 5).p_value(0.1) == 0.0


@pytest.mark.parametrize("df", [3, 4, 8, 40])
@pytest.mark.parametrize("level", [0.95, 0.998])
def test_what_would_have_been_seen_is_found_in_four_of_five(df: int, level: float) -> None:
    """A true distance of what the median verdict states, seen through errors that are themselves uncertain."""
    rng = np.random.default_rng(df)
    errors = np.sqrt(rng.chisquare(df, 100_000) / df)  # of a true error of 1
    stated = Doubt(float(np.median(errors)), df).detectable(level)
    least = Doubt(1.0, df).half_width(level)
    assert np.mean(rng.normal(stated, 1, 100_000) > least * errors) == pytest.approx(0.8, abs=0.01)


def test_holm() -> None:
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]
    assert statistics.holm([]) == []


def test_wilson_as_in_the_textbook() -> None:
    low, high = statistics.wilson(48, 50)
    assert (low, high) == (pytest.approx(0.8654, abs=1e-3), pytest.approx(0.9890, abs=1e-3))
    for total in (15, 448, 640 / 1.37, *range(1, 200)):
        assert statistics.wilson(total, total)[1] == 1.0
        assert statistics.wilson(0, total)[0] == 0.0
    assert statistics.wilson(0, 0) == (0.0, 1.0)


def test_rounds_are_paired_from_five_on_so_that_what_drifts_on_the_machine_cancels() -> None:
    from llm_magics.results.effects import between

    rng = np.random.default_rng(5)

    def figures(rounds: int) -> tuple[np.ndarray, np.ndarray]:
        drift = np.linspace(0, 1, rounds)
        return drift + 0.01 * rng.normal(size=rounds), drift + 0.01 * rng.normal(size=rounds)

    variance, df = between([figures(5), figures(5)]) or (0, 0)
    assert variance < 0.001
    assert df == 2 * 4
    variance, df = between([figures(3)]) or (0, 0)
    assert variance > 0.1  # too wide, never too narrow
    assert df == 2 * 2
    assert between([figures(2)]) is None
