"""The promise of a verdict, held against servers whose truth is known.

Equal servers: in at most 5 % of trials any difference is claimed. Servers that differ by 10 %: found in at least 80 %.
Every trial is a whole comparison: all metrics, Holm's correction. Seeds are fixed, so no run of this file is luck;
docs/measuring.md has the same for 1,000 trials.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from simulation import simulated_run

from llm_magics.results.comparison import Comparison

TRIALS = 100


def claims(trials: int, rounds: int, other: dict[str, float], **server: Any) -> list[set[str]]:
    """The metrics in which each trial's verdict claims a difference."""
    found = []
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        sides: dict[str, list[Any]] = {"a": [], "b": []}
        for seed in range(rounds):
            for name in sides:
                kind = {**server, **(other if name == "b" else {})}
                sides[name].append(simulated_run(rng, name=name, seed=seed, **kind))
        effects = Comparison.of_runs(sides).effects
        found.append({effect.metric for effect in effects if effect.outcome == "different"})
    return found


@pytest.mark.parametrize(
    ("rounds", "server"),
    [
        (1, {"requests": 50}),
        (1, {"requests": 100, "streams": 16, "drift": 0.03}),
        (1, {"requests": 80, "streams": None}),
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
