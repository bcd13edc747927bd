"""If these fail, intervals rest on a bootstrap that is none."""

from __future__ import annotations

import math

import numpy as np
import pytest

from llm_magics.results import resampling


@pytest.mark.parametrize("rows", [1, 2, 7, 50, 101])
def test_resamples_by_counts_are_resamples_of_rows(rows: int) -> None:
    """Every statistic of how often each row was drawn is that of the drawn rows themselves."""
    rng = np.random.default_rng(rows)
    sample = rng.lognormal(size=(rows, 2))
    sample[: rows // 3] = sample[0]  # ties
    drawn = rng.integers(0, rows, (20, rows))
    counts = np.array([np.bincount(each, minlength=rows) for each in drawn]).T.astype(np.uint8)
    for statistic in (resampling.mean, resampling.ratio, *map(resampling.Quantile, (0.0, 0.5, 0.9, 0.99, 1.0))):
        direct = [statistic(sample[each]) for each in drawn]
        assert statistic.resampled(sample, counts) == pytest.approx(direct, rel=1e-12)


def test_quantiles_are_those_of_numpy() -> None:
    rows = np.random.default_rng(1).lognormal(size=(83, 1))
    for q in (0.0, 0.5, 0.9, 0.99, 1.0):
        assert resampling.Quantile(q)(rows) == pytest.approx(np.quantile(rows[:, 0], q), rel=1e-12)


def test_the_bootstrap_of_a_median_agrees_with_theory() -> None:
    """Of a large normal sample its error is sqrt(pi / 2) sigma / sqrt(n)."""
    sample = np.random.default_rng(2).normal(10, 2, size=(4000, 1))
    error = resampling.bootstrap_error([sample], resampling.Quantile(0.5), log=False)
    assert error == pytest.approx(math.sqrt(math.pi / 2) * 2 / math.sqrt(4000), rel=0.15)


def test_the_bootstrap_agrees_with_the_formula_for_a_mean() -> None:
    sample = np.random.default_rng(3).normal(10, 2, size=(200, 1))
    error = resampling.bootstrap_error([sample], resampling.mean, log=False)
    assert error == pytest.approx(sample.std() / math.sqrt(200), rel=0.1)
    assert error == resampling.bootstrap_error([sample], resampling.mean, log=False)  # seeded


def test_pairs_cancel_what_lies_in_the_request() -> None:
    """Long prompts are slow everywhere: resampled in pairs, that says nothing about the difference of two servers."""
    rng = np.random.default_rng(4)
    lengths = rng.lognormal(sigma=1.0, size=(100, 1))
    one, other = (lengths * np.exp(0.02 * rng.normal(size=(100, 1))) for _ in range(2))
    paired = resampling.bootstrap_error([one, other], resampling.mean)
    apart = math.hypot(*(resampling.bootstrap_error([each], resampling.mean) for each in (one, other)))
    assert paired < apart / 10
