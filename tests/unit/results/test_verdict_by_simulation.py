"""The promise of a verdict, held against servers whose truth is known.

Equal servers: in at most 5 % of trials any difference is claimed. Servers that differ by 10 %: found in at least 80 %.
With fewer than three rounds nothing is ever claimed; what is seen in them is still held to the same 5 % and 80 %, of
servers whose rounds are alike.
Every trial is a whole comparison: all metrics, Holm's correction. Seeds are fixed, so no run of this file is luck;
`make simulate` plays `trials` 1,000 times.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from simulation import simulated_run
from trials import DIFFERENT, EQUAL, Scenario, certain, compared, headline

from llm_magics.results.comparison import Comparison

TRIALS = 100


def claims(trials: int, rounds: int, other: dict[str, float], **server: Any) -> list[set[str]]:
    """The metrics in which each trial sees a certain difference (claimed, or seen in fewer than three rounds)."""
    found = []
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        sides: dict[str, list[Any]] = {"a": [], "b": []}
        for seed in range(rounds):
            for name in sides:
                kind = {**server, **(other if name == "b" else {})}
                sides[name].append(simulated_run(rng, name=name, seed=seed, **kind))
        effects = Comparison.of_runs(sides).effects
        found.append({effect.metric for effect in effects if effect.outcome in ("different", "once")})
        assert rounds >= 3 or all(effect.outcome != "different" for effect in effects)
    return found


@pytest.mark.parametrize(
    ("rounds", "server"),
    [
        (1, {"requests": 50}),
        (1, {"requests": 100, "streams": 16, "drift": 0.03}),
        (1, {"requests": 80, "streams": None}),
        (1, {"requests": 100, "streams": 16, "load": 0.05, "ttft": 0.01}),
        (3, {"requests": 50, "streams": 16, "load": 0.05, "ttft": 0.01}),
        (3, {"requests": 50, "round_noise": 0.05}),
        (3, {"requests": 30, "round_noise": 0.03, "slo": {"ttft": 0.055}}),
        (5, {"requests": 20, "drift": 0.05, "round_noise": 0.02}),
    ],
)
def test_equal_servers(rounds: int, server: dict[str, Any]) -> None:
    claimed = sum(map(bool, claims(TRIALS, rounds, {}, **server)))
    assert claimed <= 0.05 * TRIALS


@pytest.mark.parametrize(
    ("rounds", "server"),
    [
        (1, {"requests": 100}),
        (1, {"requests": 150, "streams": 16, "drift": 0.03}),
        (3, {"requests": 100, "streams": 8}),
        (5, {"requests": 50, "round_noise": 0.01, "drift": 0.03}),
    ],
)
def test_servers_that_differ_by_a_tenth(rounds: int, server: dict[str, Any]) -> None:
    found = claims(TRIALS // 4, rounds, {"ttft": 0.045, "tpot": 0.009}, **server)
    for metric in ("steady_output_throughput", "median_e2el_ms"):
        assert sum(metric in each for each in found) >= 0.8 * len(found)


# 25 trials each: of a promise that is just kept, more than 4 of 25 claims (fewer than 15 finds) come once in 100 times
@pytest.mark.parametrize("scenario", [EQUAL[1], EQUAL[5], EQUAL[8]], ids=lambda scenario: scenario.name)
def test_equal_servers_in_rounds_that_end_when_enough_is_known(scenario: Scenario) -> None:
    assert sum(bool(certain(compared(scenario, seed))) for seed in range(25)) <= 4


@pytest.mark.parametrize("scenario", [DIFFERENT[1], DIFFERENT[4]], ids=lambda scenario: scenario.name)
def test_a_tenth_is_found_in_rounds_that_end_when_enough_is_known(scenario: Scenario) -> None:
    assert sum(headline(scenario) in certain(compared(scenario, seed)) for seed in range(25)) >= 15


def test_one_round_cannot_tell_a_server_from_the_mood_of_its_round() -> None:
    """Equal servers whose rounds differ by 5 %: with one round of 50 requests every second trial sees a difference."""
    seen = 0
    for trial in range(30):
        rng = np.random.default_rng(trial)
        sides = {name: simulated_run(rng, name=name, requests=50, round_noise=0.05) for name in "ab"}
        found = Comparison.of_runs(sides)
        assert found.verdict.better is None
        assert all(effect.outcome != "different" for effect in found.effects)
        assert "is better" not in str(found.verdict)
        if any(effect.outcome == "once" for effect in found.effects):
            seen += 1
            assert found.verdict.headline.startswith("In this one run, ")
            assert found.verdict.headline.endswith("run 3 rounds or more for a verdict.")
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
