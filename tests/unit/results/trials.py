"""Whole comparisons of simulated servers: a few of each are a test, a thousand of each are `make simulate`.

A scenario is a pair (or three) of servers with known truth and the rounds they are compared in; `rounds=None` plays
them as a comparison does whose rounds are not given: looked at after 3, 4 and 5, ended when enough is known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from simulation import simulated_run

from llm_magics.results import looks
from llm_magics.results.comparison import Comparison

BETTER = {"ttft": 0.045, "tpot": 0.009}  # a tenth less than the others' 0.05 and 0.01


@dataclass(frozen=True)
class Scenario:
    """Servers and rounds.

    Attributes
    ----------
    server
        Keywords of `simulated_run` for every side.
    other
        Keywords in which the last side differs; none: all are equal.
    trend
        The machine is slower by this factor from each turn to the next, whoever is measured.
    """

    name: str
    server: dict[str, Any]
    rounds: int | None = None
    sides: int = 2
    other: dict[str, float] = field(default_factory=dict)
    trend: float = 0.0


def compared(scenario: Scenario, seed: int) -> Comparison:
    """One trial."""
    rng = np.random.default_rng(seed)
    names = "abc"[: scenario.sides]
    sides: dict[str, list[Any]] = {name: [] for name in names}
    turn = 0
    for number in range(1, (scenario.rounds or looks.MOST) + 1):
        for name in names if number % 2 else names[::-1]:
            kind = {**scenario.server, **(scenario.other if name == names[-1] else {})}
            warm = float(np.exp(scenario.trend * turn))
            sides[name].append(simulated_run(rng, name=name, seed=number - 1, warm=warm, **kind))
            turn += 1
        if scenario.rounds is None and number in looks.SPENT:
            found = Comparison.of_runs(sides, level=looks.level(number))
            if looks.enough(found.effects) or number == looks.MOST:
                return found
    return Comparison.of_runs(sides)


def certain(comparison: Comparison) -> set[str]:
    """The metrics in which a difference is claimed (or, with fewer than three rounds, seen)."""
    return {effect.metric for effect in comparison.effects if effect.outcome in ("different", "once")}


EQUAL = [
    Scenario("closed loop, noise", {"requests": 60, "streams": 8}),
    Scenario("closed loop, rounds off by 3 %", {"requests": 60, "streams": 8, "round_noise": 0.03}),
    Scenario("closed loop, neighbours alike, rounds off by 2 %", {"requests": 60, "drift": 0.05, "round_noise": 0.02}),
    Scenario("closed loop, heavy tail", {"requests": 60, "streams": 8, "tail": 0.03}),
    Scenario("queue, 16 streams", {"requests": 60, "streams": 16, "load": 0.05, "ttft": 0.01}),
    Scenario("the machine slows by 1 % a turn", {"requests": 60, "streams": 8, "round_noise": 0.01}, trend=0.01),
    Scenario("at a rate, rounds off by 2 %", {"requests": 60, "streams": None, "round_noise": 0.02}),
    Scenario("SLO at the median", {"requests": 60, "streams": 8, "round_noise": 0.02, "slo": {"ttft": 0.05}}),
    Scenario("three sides, rounds off by 2 %", {"requests": 60, "streams": 8, "round_noise": 0.02}, sides=3),
    Scenario("120 requests, 3 rounds given, rounds off by 3 %", {"requests": 120, "round_noise": 0.03}, rounds=3),
    Scenario("5 rounds given, rounds off by 3 %", {"requests": 60, "round_noise": 0.03}, rounds=5),
]

DIFFERENT = [
    Scenario("closed loop, noise", {"requests": 60, "streams": 8}, other=BETTER),
    Scenario("closed loop, rounds off by 1 %", {"requests": 60, "streams": 8, "round_noise": 0.01}, other=BETTER),
    Scenario(
        "closed loop, neighbours alike, rounds off by 1 %", {"requests": 100, "drift": 0.03, "round_noise": 0.01},
        other=BETTER,
    ),
    Scenario("closed loop, heavy tail", {"requests": 100, "streams": 8, "tail": 0.01}, other=BETTER),
    Scenario("at a rate, rounds off by 1 %", {"requests": 60, "streams": None, "round_noise": 0.01}, other=BETTER),
    Scenario("three sides, rounds off by 1 %", {"requests": 60, "round_noise": 0.01}, sides=3, other=BETTER),
    Scenario("5 rounds given, rounds off by 1 %", {"requests": 60, "round_noise": 0.01}, rounds=5, other=BETTER),
]  # fmt: skip


def headline(scenario: Scenario) -> str:
    """The metric that carries the stated effect: at a rate every server gives what is sent."""
    return "median_e2el_ms" if scenario.server.get("streams", 4) is None else "steady_output_throughput"
