"""If these fail, a shown figure lies outside its own interval, or an interval is shown that nobody could use."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from simulation import simulated_run
from synthetic import synthetic_run

from llm_magics.results import statistics, wording
from llm_magics.results.comparison import Comparison
from llm_magics.results.effects import Effect
from llm_magics.results.run import Run


def bursty(run: Run, share: float) -> Run:
    """The same run with all chunks of some requests at one instant: these have no TPOT."""
    columns = run.columns
    burst = np.random.default_rng(0).random(len(columns)) < share
    run.columns = replace(columns, first_token=np.where(burst, columns.last_token, columns.first_token))
    return run


RUNS: list[Any] = [
    lambda i: synthetic_run(name="a", seed=i),
    lambda i: synthetic_run(name="a", seed=i, noise=0.0),
    lambda i: synthetic_run(name="a", seed=i, noise=0.8, drift=0.3, slo={"ttft": 0.05}),
    lambda i: synthetic_run(name="a", seed=i, rate=[4, 16], requests=80, errors=7),
    lambda i: synthetic_run(name="a", seed=i, ttft=0.0, noise=0.0),
    lambda i: synthetic_run(name="a", seed=i, output_tokens=1),
    lambda i: bursty(synthetic_run(name="a", seed=i), 0.5),
    lambda i: bursty(synthetic_run(name="a", seed=i, rate=[8], requests=100), 1.0),
    lambda i: simulated_run(np.random.default_rng(i), requests=50, streams=16, load=0.05, ttft=0.01),
    lambda i: simulated_run(np.random.default_rng(i), requests=25, streams=16, load=0.5, ttft=0.1, noise=1.0),
]


@pytest.mark.parametrize("make", RUNS)
@pytest.mark.parametrize("rounds", [1, 3])
def test_every_figure_lies_in_its_interval(make: Any, rounds: int) -> None:
    table = Comparison.of_runs({"a": [make(seed) for seed in range(rounds)]}).table
    assert len(table)
    for place, row in table.iterrows():
        value, low, high = row["a", "value"], row["a", "low"], row["a", "high"]
        slack = 1e-9 * abs(value)
        assert np.isnan(low) or low <= value + slack, place
        assert np.isnan(high) or value - slack <= high, place


def test_a_trend_that_fills_the_run_gives_no_interval() -> None:
    """Each request 3 % slower than the one before: all are one long excursion, so none are independent."""
    run = synthetic_run(concurrency=[1], requests=60, noise=0.0)
    late = 0.05 * 1.03 ** np.maximum(run.columns.index, 0)
    run.columns = replace(run.columns, intended=run.columns.first_token - late)
    row = Comparison.of_runs({"a": run}).table.loc[("1 stream", "mean_ttft_ms")]["a"]
    assert row["value"] > 0
    assert np.isnan(row["low"])
    other = Comparison.of_runs({"a": run, "b": synthetic_run(concurrency=[1], requests=60, seed=5)})
    assert "too few independent requests to tell" in str(other.verdict)


def test_neighbours_all_alike_are_not_enough() -> None:
    rng = np.random.default_rng(0)
    enough = [statistics.dependence([rng.normal(size=50)]).enough for _ in range(200)]
    assert np.mean(enough) > 0.9  # of independent ones a few look dependent by chance
    assert not statistics.dependence([np.linspace(0, 1, 50)]).enough
    assert not statistics.dependence([rng.normal(size=4)]).enough


@pytest.mark.parametrize(("detectable", "words"), [(0.08, "would have seen 8.0 %"), (6.21, "too noisy to tell")])
def test_what_could_not_even_see_the_double_is_too_noisy(detectable: float, words: str) -> None:
    effect = Effect("1 stream", "median_ttft_ms", "a", "b", 10, 11, 0.1, -0.8, 9.0, 0.5, 1.0, detectable, outcome="noise")  # fmt: skip  # noqa: E501
    assert words in wording.words(effect)
    assert "621" not in wording.words(effect)
