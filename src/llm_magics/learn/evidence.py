"""What ticks a task: conditions on deeds, written as data, so that a task says in words what it still waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_magics.results.journal import Deed


@dataclass(frozen=True)
class Condition:
    """One thing that must have been done.

    Attributes
    ----------
    did
        Kind of the deed.
    says
        The same in words, for the person who has not done it: "bench a server at three concurrencies or more".
    where
        Fact -> its value, or a list of values any of which will do.
    least
        Fact -> the smallest number that counts.
    distinct, times
        So many deeds are needed; with `distinct`, so many different values of that fact.
    """

    did: str
    says: str
    where: Mapping[str, Any] = field(default_factory=dict)
    least: Mapping[str, float] = field(default_factory=dict)
    distinct: str = ""
    times: int = 1

    def holds_for(self, deed: Deed) -> bool:
        """Whether a deed counts."""
        if deed.kind != self.did or deed.facts.get("status", "complete") != "complete":
            return False
        for name, wanted in self.where.items():
            allowed = wanted if isinstance(wanted, list) else [wanted]
            given = deed.facts.get(name)
            if not any(each in allowed for each in (given if isinstance(given, list) else [given])):
                return False
        return all(_number(deed.facts.get(name)) >= least for name, least in self.least.items())

    def met(self, deeds: Sequence[Deed]) -> float | None:
        """When it was first met (s since the epoch), or None; `deeds` are oldest first."""
        seen: list[Any] = []
        for deed in deeds:
            if not self.holds_for(deed):
                continue
            value = deed.facts.get(self.distinct) if self.distinct else len(seen)
            if value not in seen:
                seen.append(value)
            if len(seen) >= self.times:
                return deed.at
        return None


def met(conditions: Sequence[Condition], deeds: Sequence[Deed]) -> float | None:
    """When the last of the conditions was met; None when one is not, or there is none."""
    moments = [condition.met(deeds) for condition in conditions]
    return max((each for each in moments if each is not None), default=None) if None not in moments else None


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else float("-inf")
