"""What a search for the highest good load, or for saturation, has found; in words first.

It stands in the run's header, so it is stored, written and read with the run. How it was found: `searcher`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from llm_magics.results.probe import Probe
from llm_magics.results.searcher import Goal, Over, Searcher


@dataclass(frozen=True)
class Search:
    """What a search found; `str()` says it in words.

    Attributes
    ----------
    goal, over, share, limits, budget
        What was asked; `limits` are the SLO's, in s.
    answer, above
        The highest load that holds and the lowest that does not; of saturation over streams the fewest streams that
        saturate, and None. None where there is none.
    sure
        Whether the intervals made both of them clear.
    low, high
        The 90 % interval of the goodput at the answer; None without an SLO or an answer.
    knee
        The load of the highest power among those whose requests were all answered; None with fewer than three loads.
    why
        `found`, `budget`, `highest` (the bound holds), `lowest` (not even the lowest does), `interrupted`, `failed`.
    seconds
        What it took.
    probes
        All loads measured, ascending.
    """

    goal: Goal
    over: Over
    share: float
    limits: dict[str, float]
    budget: float
    answer: float | None
    above: float | None
    sure: bool
    low: float | None
    high: float | None
    knee: float | None
    why: str
    seconds: float
    probes: list[Probe] = field(default_factory=list)

    @classmethod
    def of(cls, searcher: Searcher, limits: Mapping[str, float], seconds: float) -> Search:
        """What a searcher has found by now."""
        plan, probes = searcher.plan, searcher.probes
        holding, failing = searcher.bracket
        climbs = plan.goal == "saturation" and plan.over == "concurrency"
        answer, above = (failing, None) if climbs else (holding, failing)
        if climbs and answer is None and probes:  # cut short before the plateau
            answer = max(probes, key=lambda each: each.throughput)
        ends = [each for each in (answer, above) if each is not None]
        whole = [each for each in probes if each.whole]
        knee = max(whole, key=lambda each: each.power) if whole and len(probes) > 2 else None
        return cls(
            goal=plan.goal, over=plan.over, share=plan.share, limits=dict(limits), budget=plan.budget,
            answer=answer.load if answer else None, above=above.load if above else None,
            sure=bool(ends) and all(each.sure for each in ends),
            low=answer.low if answer else None, high=answer.high if answer else None,
            knee=knee.load if knee and knee.power > 0 else None,
            why=searcher.why, seconds=seconds, probes=probes,
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, for a run's header."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Search:
        """From a run's header; unknown keys are ignored."""
        names, inner = {each.name for each in fields(cls)}, {each.name for each in fields(Probe)}
        values = {key: value for key, value in data.items() if key in names}
        values["probes"] = [
            Probe(**{key: value for key, value in each.items() if key in inner}) for each in data.get("probes") or ()
        ]
        return cls(**values)

    @property
    def at(self) -> Probe | None:
        """The probe of the answer."""
        return next((each for each in self.probes if each.load == self.answer), None)

    def named(self, load: float, *, unit: bool = True) -> str:
        """A load as a person says it: `12.5 req/s`, `8 streams`."""
        if not unit:
            return f"{load:g}"
        return f"{load:g} req/s" if self.over == "rate" else f"{load:g} stream{'' if load == 1 else 's'}"

    def __str__(self) -> str:
        return self.headline + (f" {self.reason}" if self.reason else "")

    @property
    def headline(self) -> str:
        """The answer, one sentence."""
        if not self.probes:
            return "Nothing was measured."
        if self.goal == "slo":
            return self._of_slo()
        return self._of_streams() if self.over == "concurrency" else self._of_rate()

    @property
    def reason(self) -> str:
        """Why it ended, and how sure it is; one or two sentences."""
        sayings = {
            "budget": f"The budget of {self.budget:g} s was spent before the bracket was narrow.",
            "highest": "The highest load that was allowed holds: there may be more.",
            "interrupted": "It was interrupted; this is what had been measured.",
            "failed": "The server refused the requests; this is what had been measured.",
        }  # fmt: skip
        said = [sayings[self.why]] if self.why in sayings else []
        if not self.sure and self.answer is not None and self.why not in ("interrupted", "failed"):
            said.append("The requests were too few to be sure: repeat it with a larger budget.")
        return " ".join(said)

    def _of_slo(self) -> str:
        within = ", ".join(f"{key} {_time(limit)}" for key, limit in self.limits.items())
        what = f"{self.share * 100:g} % of requests within {within}"
        if self.answer is None:
            return f"Does not hold {self.named(self.probes[0].load)} with {what}; nothing lower was tried."
        more = f"; {self.named(self.above, unit=False)} does not" if self.above is not None else ""
        return f"Holds {self.named(self.answer)} with {what}{more}."

    def _of_rate(self) -> str:
        if self.answer is None:
            return f"Does not keep up with {self.named(self.probes[0].load)}."
        more = f"; with {self.named(self.above, unit=False)} not" if self.above is not None else ""
        return f"Keeps up with {self.named(self.answer)}{self._tokens()}{more}.{self._knee()}"

    def _of_streams(self) -> str:
        if self.answer is None:
            return "Found no load that saturates it."
        highest = max(each.throughput for each in self.probes)
        point = self.at
        if self.why not in ("found", "lowest"):
            return (
                f"Not saturated by {self.named(max(each.load for each in self.probes))}{self._tokens()}.{self._knee()}"
            )
        share = f", {point.throughput / highest * 100:.0f} % of the most that was seen" if point else ""
        return f"Saturates at {self.named(self.answer)}{self._tokens()}{share}.{self._knee()}"

    def _tokens(self) -> str:
        point = self.at
        return f" ({point.tokens:,.0f} output tokens/s)" if point and point.tokens else ""

    def _knee(self) -> str:
        return f" The knee (most throughput for the time it takes) is at {self.named(self.knee)}." if self.knee else ""


def _time(seconds: float) -> str:
    return f"{seconds:g} s" if seconds >= 10 else f"{seconds * 1000:g} ms"
