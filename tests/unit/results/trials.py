"""Whole comparisons of simulated servers: a few of each are a test, a thousand of each are `make simulate`.

A scenario is a pair (or three) of servers with known truth and the rounds they are compared in; `rounds=None` plays
them as a comparison does whose rounds are not given: looked at after 3, 4 and 5, ended when enough is known. Each is
played twice: with equal servers, of which nothing may be claimed, and with one that is better by what verdicts on the
equal ones said they would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from simulation import simulated_run

from llm_magics.results import looks
from llm_magics.results.comparison import VERDICT_METRICS, Comparison
from llm_magics.results.effects import Effect


@dataclass(frozen=True)
class Scenario:
    """Servers and rounds.

    Attributes
    ----------
    server
        Keywords of `simulated_run` for every side.
    trend
        The machine is slower by this factor from each turn to the next, whoever is measured.
    """

    name: str
    server: dict[str, Any]
    rounds: int | None = None
    sides: int = 2
    trend: float = 0.0

    @property
    def headline(self) -> str:
        """The metric that carries a difference: at a rate every server gives what is sent."""
        return "median_e2el_ms" if self.server.get("streams", 4) is None else "steady_output_throughput"


def compared(scenario: Scenario, seed: int, better: float = 0.0) -> Comparison:
    """One trial; the last side is better by `better` in its headline figure (0.1: a tenth more tokens/s, or time)."""
    rng = np.random.default_rng(seed)
    names = "abc"[: scenario.sides]
    sides: dict[str, list[Any]] = {name: [] for name in names}
    turn = 0
    for number in range(1, (scenario.rounds or looks.MOST) + 1):
        for name in names if number % 2 else names[::-1]:
            warm = float(np.exp(scenario.trend * turn)) / (1 + better if name == names[-1] else 1.0)
            server = {**SHORT, **scenario.server}
            sides[name].append(simulated_run(rng, name=name, seed=number - 1, warm=warm, **server))
            turn += 1
        if scenario.rounds is None and number in looks.SPENT:
            found = unshown(Comparison.of_runs(sides, level=looks.level(number)))
            if number == looks.MOST:
                return found
            # a look that is not enough by its headline alone is not enough at all, and most are not: seen in no time
            if looks.enough(found.effects_in([scenario.headline])) and looks.enough(found.effects):
                return found
    return unshown(Comparison.of_runs(sides))


def unshown(comparison: Comparison) -> Comparison:
    """The comparison without the figures that are only shown: most of a trial's cost, and no part of what it finds."""
    for run in comparison.runs.values():
        kept = {"point": 0, "label": run.asked[0]["label"], "completed": len(run.columns), "failed": 0}
        run.points = [{**kept, **dict.fromkeys(VERDICT_METRICS, 1.0), **({} if run.slo else {"goodput": None})}]
    return comparison


def certain(comparison: Comparison) -> set[str]:
    """The metrics in which a difference is claimed (or, with fewer than three rounds, seen)."""
    return {effect.metric for effect in comparison.effects if effect.outcome in ("different", "once")}


def found(comparison: Comparison, scenario: Scenario) -> bool:
    """Whether the side that is better (the last) is certainly ahead of the first in the headline figure."""
    effect = _headline(comparison, scenario)
    wanted = 1 if scenario.headline == "steady_output_throughput" else -1
    return effect is not None and effect.outcome in ("different", "once") and effect.difference * wanted > 0


def would_have_seen(comparison: Comparison, scenario: Scenario) -> float:
    """The difference of first and last in the headline figure that the verdict would have seen; inf where none."""
    effect = _headline(comparison, scenario)
    return np.inf if effect is None or effect.detectable is None else effect.detectable


def _headline(comparison: Comparison, scenario: Scenario) -> Effect | None:
    wanted = (scenario.headline, comparison.labels[0], comparison.labels[-1])
    return next((each for each in comparison.effects if (each.metric, each.base, each.other) == wanted), None)


# few tokens, long apart: the same requests, and much less to add up
SHORT = {"tokens": 8, "tpot": 0.09}
SCENARIOS = [
    Scenario("closed loop, rounds off by 3 %", {"requests": 60, "streams": 8, "round_noise": 0.03}),
    Scenario("neighbours alike, rounds off by 2 %", {"requests": 60, "drift": 0.05, "round_noise": 0.02}),
    Scenario("heavy tail", {"requests": 60, "streams": 8, "tail": 0.03}),
    Scenario("at a rate, rounds off by 2 %", {"requests": 60, "streams": None, "round_noise": 0.02}),
    Scenario("the machine slows by 1 % a turn", {"requests": 60, "streams": 8, "round_noise": 0.01}, trend=0.01),
    Scenario("three sides, rounds off by 2 %", {"requests": 60, "streams": 8, "round_noise": 0.02}, sides=3),
    Scenario("3 rounds of 120 requests, off by 3 %", {"requests": 120, "round_noise": 0.03}, rounds=3),
    Scenario("5 rounds, off by 3 %", {"requests": 60, "round_noise": 0.03}, rounds=5),
    Scenario("neighbours very alike, 16 streams", {"requests": 100, "streams": 16, "drift": 0.1}),
    Scenario("closed loop, noise of requests only", {"requests": 60, "streams": 8}),
    Scenario("queue, 16 streams", {"requests": 60, "streams": 16, "load": 0.05, "ttft": 0.01}),
    Scenario("SLO at the median", {"requests": 60, "streams": 8, "round_noise": 0.02, "slo": {"ttft": 0.05}}),
]
