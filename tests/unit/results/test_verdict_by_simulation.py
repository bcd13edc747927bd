"""The promise of a verdict, held against servers whose truth is known.

Equal servers: in at most 5 % of trials any difference is claimed. Servers that differ by what a verdict says it would
have seen: found in at least 80 %. With fewer than three rounds nothing is ever claimed; what is seen in them is still
held to the same 5 % and 80 %, of servers whose rounds are alike.
Every trial is a whole comparison: all metrics, Holm's correction. Seeds are fixed, so no run of this file is luck;
few trials cannot prove 5 %, so they are held to a bound that a kept promise breaks once in a hundred times, and
`make simulate` plays a thousand (benchmarks/results/verdicts.md).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from simulation import simulated_run
from trials import SCENARIOS, Scenario, certain, compared, found, would_have_seen

from llm_magics.results import looks
from llm_magics.results.comparison import Comparison
from llm_magics.results.distributions import binomial_at_least

TRIALS = 40


def most(trials: int, share: float) -> int:
    """The number that a binomial count of trials exceeds once in a hundred times."""
    return next(k for k in range(trials + 1) if binomial_at_least(k + 1, trials, share) <= 0.01)


@pytest.mark.parametrize(
    ("rounds", "server"),
    [
        (1, {"requests": 50}),
        (1, {"requests": 100, "streams": 16, "drift": 0.03}),
        (1, {"requests": 200, "streams": 8, "drift": 0.2}),
        (1, {"requests": 80, "streams": None}),
        (3, {"requests": 50, "round_noise": 0.05}),
        (3, {"requests": 30, "round_noise": 0.03, "slo": {"ttft": 0.055}}),
    ],
)
def test_equal_servers(rounds: int, server: dict[str, Any]) -> None:
    trials = [compared(Scenario("", server, rounds), seed) for seed in range(TRIALS)]
    assert sum(bool(certain(each)) for each in trials) <= most(TRIALS, 0.05)
    assert rounds >= 3 or all(effect.outcome != "different" for each in trials for effect in each.effects)


@pytest.mark.parametrize("scenario", SCENARIOS[:8], ids=lambda scenario: scenario.name)
def test_a_verdict_errs_as_seldom_and_sees_as_much_as_it_says(scenario: Scenario) -> None:
    equal = [compared(scenario, seed) for seed in range(0, 2 * TRIALS, 2)]
    assert sum(bool(certain(each)) for each in equal) <= most(TRIALS, 0.05)
    stated = float(np.median([would_have_seen(each, scenario) for each in equal]))
    missed = sum(not found(compared(scenario, seed, stated), scenario) for seed in range(1, 2 * TRIALS, 2))
    assert missed <= most(TRIALS, 0.2)
    assert missed > 0 or scenario.sides > 2  # a size that is always found is not the least that would be


def test_what_is_only_shown_plays_no_part_in_a_trial() -> None:
    """Trials leave the summaries out and look at the headline first: the verdict is that of the whole comparison."""
    for scenario in (SCENARIOS[0], SCENARIOS[3], SCENARIOS[-1]):
        trial = compared(scenario, 3)
        whole = Comparison.of_runs(trial.rounds, level=trial.level)
        for one, other in zip(trial.effects, whole.effects, strict=True):
            assert replace(one, base_value=0, other_value=0) == replace(other, base_value=0, other_value=0)
        for number in range(3, len(trial.rounds["a"])):
            earlier = {label: runs[:number] for label, runs in trial.rounds.items()}
            assert not looks.enough(Comparison.of_runs(earlier, level=looks.level(number)).effects)


def test_one_round_cannot_tell_a_server_from_the_mood_of_its_round() -> None:
    """Equal servers whose rounds differ by 5 %: with one round of 50 requests every second trial sees a difference."""
    seen = 0
    for trial in range(30):
        rng = np.random.default_rng(trial)
        sides = {name: simulated_run(rng, name=name, requests=50, round_noise=0.05) for name in "ab"}
        one = Comparison.of_runs(sides)
        assert one.verdict.better is None
        assert all(effect.outcome != "different" for effect in one.effects)
        assert "is better" not in str(one.verdict)
        if any(effect.outcome == "once" for effect in one.effects):
            seen += 1
            assert one.verdict.headline.startswith("In this one run, ")
            assert one.verdict.headline.endswith("run 3 rounds or more for a verdict.")
    assert seen > 5


@pytest.mark.parametrize("requests", [50, 200])
def test_the_beginning_of_a_closed_loop_is_no_noise(requests: int) -> None:
    """16 streams meet an idle server at once: their likeness made intervals from 27 to 138,118 tokens/s."""
    given = 0
    for seed in range(20):
        run = simulated_run(np.random.default_rng(seed), requests=requests, streams=16, load=0.05, ttft=0.01)
        row = Comparison.of_runs({"a": run}).table.loc[("16 streams", "steady_output_throughput")]
        if not np.isnan(row["a", "low"]):
            given += 1
            assert row["a", "low"] > 0.7 * row["a", "value"]
            assert row["a", "high"] < 1.4 * row["a", "value"]
    assert given >= 10


def test_another_run_of_a_queue_is_where_the_interval_says() -> None:
    """The mean of 40 runs of 200 requests at 16 streams lies in 95 % of their intervals."""
    rows = []
    for seed in range(40):
        run = simulated_run(np.random.default_rng(seed), requests=200, streams=16, load=0.05, ttft=0.01)
        rows.append(Comparison.of_runs({"a": run}).table.loc[("16 streams", "steady_output_throughput")]["a"])
    expected = np.mean([row["value"] for row in rows])
    given = [row for row in rows if not np.isnan(row["low"])]
    assert len(given) >= 30
    assert sum(row["low"] <= expected <= row["high"] for row in given) >= 0.9 * len(given)
