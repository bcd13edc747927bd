"""Which load to try next, and what a search for the highest good load, or for saturation, has found.

Pure decisions: nothing here sends or waits, so that a simulated server can be searched in a test (`api.searching`
does it with a real one). Loads double until one fails, then the bracket is bisected until it is narrow; what a probe
says counts as clear when a 90 % Wilson interval of its goodput lies on one side of the asked share, and an unclear
one is measured again. Probes of one load are pooled.

**Saturation.** Over rates: the highest rate that the server keeps up with: those in flight do not grow by more than 5 %
of the arrivals, and no more than that are left unanswered. Over streams: the fewest streams whose
throughput is within 5 % of the highest seen. **The knee** is the load of the highest power, throughput / mean time in
the system (Kleinrock, "Power and deterministic rules of thumb for probabilistic problems in computer communications",
ICC 1979; called the knee by Jain and Ramakrishnan, "Congestion avoidance in computer networks with a connectionless
network layer", 1988): below it more load costs little time, above it more time than it gains throughput. Power has
the times of answered requests only, so a load that left some unanswered is no knee: who refuses the rest is quick.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from llm_magics.results.probe import Probe, pooled
from llm_magics.results.statistics import wilson

LEVEL = 0.90  # of the interval on goodput: 5 % on either side
TOLERANCE = 0.10  # share by which a load that fails may lie above the answer
BEHIND = 0.05  # share of a rate's arrivals by which those in flight may grow, or that may be lost, where it keeps up
_CHANCE = 2.0  # requests by which they may grow all the same
PLATEAU = 0.95  # share of the highest throughput that counts as saturated
GAIN = 0.10  # more throughput by a doubling of the streams; less, and the plateau is reached
_TRIES = 3  # measurements of one load, at most
_ENOUGH = 40  # requests of a probe whose goodput nobody asks for
_SHORTEST, _LONGEST = 1 / 24, 1 / 8  # of the budget: one probe
_LEAST = 2.5  # s of a probe
_LIMITS = 4.0  # times the SLO's longest limit that a probe lasts: a queue takes its time to reach it
_RUNAWAY = 0.10  # share of a rate's requests by which those in flight may grow, in one that keeps an SLO

Goal = Literal["slo", "saturation"]
Over = Literal["rate", "concurrency"]


@dataclass(frozen=True)
class Plan:
    """What is searched.

    Attributes
    ----------
    goal, over
        `slo` or `saturation`; over rates (requests/s) or streams.
    share
        Share of the requests that must meet the SLO.
    budget
        s for everything.
    start, lowest, highest
        The first load, and the bounds; 1 and none when left out.
    limit
        The longest time of the SLO, s; 0 without one.
    """

    goal: Goal
    over: Over
    share: float = 0.95
    budget: float = 120.0
    start: float = 1.0
    lowest: float | None = None
    highest: float | None = None
    limit: float = 0.0


class Searcher:
    """Decides, probe by probe."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._pooled: dict[float, Probe] = {}
        self.why = ""

    @property
    def probes(self) -> list[Probe]:
        """What was measured, in ascending order of the load, each with what is decided by now."""
        if self._climbs:
            return [self._climbing(each) for each in self._sorted]
        judged = [self._judged(each) for each in self._sorted]
        # those that had an answer before it was cut were the quick ones: they can fail a load, and not hold it
        return [replace(each, holds=False, sure=False) if each.cut and each.holds else each for each in judged]

    def add(self, probe: Probe) -> None:
        """Take in what was measured; a load that was measured before is pooled with it, unless this time was cut."""
        before = self._pooled.get(probe.load)
        if before is not None and probe.cut:
            return
        self._pooled[probe.load] = probe if before is None else pooled(before, probe)

    def next(self) -> float | None:
        """The load to measure next; None when the search is over (`why` says why)."""
        plan, probes = self.plan, self.probes
        if not probes:
            return self._within(plan.start)
        holding, failing = self.bracket
        if failing is None or (self._climbs and not self._flat):
            return self._above(max(each.load for each in probes))
        if holding is None:
            lower = self._within(failing.load / 2)
            if lower < failing.load and lower not in self._pooled:
                return lower
            self.why = "lowest"
            return None
        if not failing.sure and failing.tries < _TRIES:
            return failing.load
        middle = self._middle(holding.load, failing.load)
        if middle is not None:
            return middle
        if not holding.sure and holding.tries < _TRIES:
            return holding.load
        self.why = "found"
        return None

    def seconds(self, load: float) -> float:
        """How long to measure a load: long enough for its goodput to be clear, within the budget's share."""
        plan = self.plan
        wanted = needed(plan.share) if plan.goal == "slo" else _ENOUGH
        known = [each for each in self._sorted if each.throughput > 0]
        pace = load if plan.over == "rate" else known[-1].throughput if known else None
        slow = max((each.latency or 0.0 for each in known[:1]), default=0.0)
        shortest = min(max(plan.budget * _SHORTEST, 3 * slow, _LEAST, _LIMITS * plan.limit), plan.budget / 4)
        longest = max(plan.budget * _LONGEST, shortest)
        if load in self._pooled:
            return longest  # what was unclear, or is the answer, deserves it
        return min(max(wanted / pace, shortest), longest) if pace else shortest

    @property
    def bracket(self) -> tuple[Probe | None, Probe | None]:
        """The highest load that holds below the lowest that does not, and that one."""
        probes = self.probes
        failing = next((each for each in probes if not each.holds), None)
        below = [each for each in probes if each.holds and (failing is None or each.load < failing.load)]
        return (below[-1] if below else None), failing

    @property
    def _climbs(self) -> bool:
        """Streams until the throughput rises no more: a load "holds" while it is below the plateau."""
        return self.plan.goal == "saturation" and self.plan.over == "concurrency"

    @property
    def _sorted(self) -> list[Probe]:
        return [self._pooled[load] for load in sorted(self._pooled)]

    @property
    def _flat(self) -> bool:
        """Whether some doubling of the streams gained less than `GAIN`."""
        probes = self._sorted
        return any(
            b.load >= 1.8 * a.load and b.throughput < (1 + GAIN) * a.throughput
            for place, a in enumerate(probes)
            for b in probes[place + 1 :]
        )

    def _climbing(self, probe: Probe) -> Probe:
        """Below the plateau, or on it: nothing above the fewest streams that reach it is below it again."""
        highest = max(each.throughput for each in self._sorted)
        reached = min(each.load for each in self._sorted if each.throughput >= PLATEAU * highest)
        return replace(probe, holds=probe.load < reached, sure=True)

    def _judged(self, probe: Probe) -> Probe:
        if self.plan.goal == "saturation":
            # between the middles of the two halves half of the arrivals came
            behind = max(_CHANCE, BEHIND * probe.requests / probe.tries / 2)
            lost = probe.unanswered > max(_CHANCE, BEHIND * probe.requests)
            kept_up = not probe.overloaded and not lost and probe.growth <= behind
            return replace(probe, holds=kept_up, sure=bool(probe.overloaded) or probe.requests >= _ENOUGH)
        low, high = wilson(probe.good / probe.tau, probe.requests / probe.tau, level=LEVEL)
        share = self.plan.share
        if probe.overloaded or not probe.requests:
            # one that kept the SLO nevertheless may have met a burst: it is not sure
            return replace(probe, holds=False, sure=bool(probe.overloaded) and low < share, low=low, high=high)
        if probe.growth > max(2 * _CHANCE, _RUNAWAY * probe.requests / probe.tries):
            return replace(probe, holds=False, sure=high < share, low=low, high=high)  # it would not keep it for long
        clear = low >= share or high < share
        return replace(probe, holds=probe.good >= share * probe.requests, sure=clear, low=low, high=high)

    def _above(self, load: float) -> float | None:
        higher = self._within(load * 2)
        if higher <= load:
            self.why = "highest"
            return None
        return higher

    def _middle(self, low: float, high: float) -> float | None:
        if self.plan.over == "concurrency":
            if high - low <= max(1.0, TOLERANCE * low):
                return None
            found = float(round(math.sqrt(low * high)))
            found = min(max(found, low + 1), high - 1)
        else:
            if high <= (1 + TOLERANCE) * low:
                return None
            found = rounded(math.sqrt(low * high))
        return found if low < found < high else None

    def _within(self, load: float) -> float:
        lowest = self.plan.lowest if self.plan.lowest is not None else 1.0 if self.plan.over == "concurrency" else 0.0
        load = max(load, lowest)
        if self.plan.highest is not None:
            load = min(load, self.plan.highest)
        return float(max(1, round(load))) if self.plan.over == "concurrency" else rounded(load)


def needed(share: float, level: float = LEVEL) -> int:
    """Requests of which, when all are good, the Wilson interval clears a share: n with n / (n + z²) >= share."""
    from statistics import NormalDist

    z = NormalDist().inv_cdf((1 + level) / 2)
    return math.ceil(z * z * share / (1 - share)) if share < 1 else _ENOUGH


def rounded(load: float) -> float:
    """A rate with three significant digits: what a person would type."""
    return float(f"{load:.3g}")
