"""Rounds of a comparison: every side measured in turn, the order turned round each time, until enough is known.

What drifts on the machine meets every side alike when the rounds are A B, B A, A B …. A side may be there all the time,
or be started for each of its turns and stopped after it: engines that were asked for, and servers that must not be on
the machine together. Each round has its own prompts and arrivals, the same for every side, so that no cache knows the
last round's.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llm_magics.errors import LLMMagicsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from llm_magics.api.targets import Target
    from llm_magics.results.comparison import Comparison
    from llm_magics.results.run import Run
    from llm_magics.spec import Workload


_FEWEST = 2  # sides of a comparison


@dataclass
class _Clock:
    """How long a turn takes, and so how much is left."""

    turns_least: int
    turns_most: int
    began: float
    planned: float | None = None
    done: int = 0

    def lose(self, least: int, most: int) -> None:
        """So many turns will not be played."""
        self.turns_least -= max(0, least)
        self.turns_most -= most

    def words(self) -> str:
        """`about 3 min left`, from what turns took so far; before the first one from the workload, if that says."""
        each = (time.monotonic() - self.began) / self.done if self.done else self.planned
        if each is None:
            return ""
        least, most = (max(0, turns - self.done) * each for turns in (self.turns_least, self.turns_most))
        which = "left" if self.done else "in all"
        return f"about {_span(least, most)} {which}" if most > 0 else ""


def in_rounds(
    sides: Mapping[str, Callable[[], AbstractContextManager[Target]]], work: Workload, rounds: int | None
) -> Comparison:
    """Measure every side once a round.

    Parameters
    ----------
    sides
        Label -> what opens the side for a turn: gives a target that is ready, clears away after it what it started.
    rounds
        How many; None: from three to five, ended as soon as the main figures are known well enough (`results.looks`).

    A side that breaks is left out, and said to be, as long as two others remain: what was measured of those stands. Of
    two sides, one that breaks in its first round ends the comparison with its error, later with what there is. So does
    an interrupt, once two sides have been measured.
    """
    from llm_magics.results import looks
    from llm_magics.views.progress import live

    most, least = (rounds, rounds) if rounds else (looks.MOST, min(looks.SPENT))
    clock = _Clock(least * len(sides), most * len(sides), time.monotonic(), _planned(work))
    played = _Played({label: [] for label in sides}, auto=rounds is None)
    salt = secrets.randbits(40)
    with live():  # one display for all rounds
        for number in range(1, most + 1):
            part = f"round {number} of {' and '.join(sides)}"
            once = work.model_copy(update={"seed": work.seed + number - 1})
            for label in list(played.runs) if number % 2 else list(reversed(played.runs)):
                title = ", ".join(each for each in (_round(number, least, most), clock.words()) if each)
                try:
                    ended = played.turn(label, sides[label], once, title=title, salt=salt + number, played=part)
                except KeyboardInterrupt:  # between two loads; during one it ends that load
                    if not played.enough:
                        raise
                    ended = "interrupted"
                if ended:
                    return played.compared(number, f"{ended} in round {number} at {label}")
                if label in played.left_out:
                    clock.lose(least - number + 1, most - number + 1)
                else:
                    clock.done += 1
            if rounds is None and number in looks.SPENT:
                found = played.compared(number)
                if why := looks.enough(found.effects):
                    found.stopped = f"{number} were enough, for {why}"
                    return found
    return played.compared(most, "" if rounds else f"{most}, the most that are played unless more are asked for")


@dataclass
class _Played:
    """What was measured so far of each side, and why a side is left out."""

    runs: dict[str, list[Run]]
    auto: bool
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def enough(self) -> bool:
        """Whether there are two sides to compare."""
        return sum(map(bool, self.runs.values())) >= _FEWEST

    def turn(self, label: str, side: Callable[[], AbstractContextManager[Target]], work: Workload, **how: Any) -> str:
        """Play one turn; why the comparison ends with it, "" when it goes on (a third side that breaks is left out)."""
        from llm_magics.api.benching import measured

        run, why = None, ""
        try:
            with side() as target:
                run = measured(target, work, label=label, **how)
                why = _broken(run)
        except LLMMagicsError as error:
            if len(self.runs) <= _FEWEST and not all(self.runs.values()):
                raise
            run, why = None, error.what.rstrip(".")
        if why and len(self.runs) > _FEWEST:
            self.left_out[label] = why
            del self.runs[label]
            return ""
        if run is not None:
            self.runs[label].append(run)
        if why:
            return f"broken off ({why})"
        return "interrupted" if run is not None and run.partial else ""

    def compared(self, number: int, why: str = "") -> Comparison:
        """The comparison after so many rounds; a side without any has not had its turn."""
        from llm_magics.results import looks
        from llm_magics.results.comparison import Comparison

        found = {label: each for label, each in self.runs.items() if each}
        waiting = {label: "it had no turn yet" for label, each in self.runs.items() if not each}
        level = {"level": looks.level(number)} if self.auto else {}
        return Comparison.of_runs(found, stopped=why, left_out={**self.left_out, **waiting}, **level)


def _broken(run: Run) -> str:
    """Why a run did not come to its end by itself; "" when it did, or when a person ended it."""
    if run.status != "failed":
        return ""
    return str(run.header.get("server_ended") or next(iter(run.notes), "the run did not reach its end")).rstrip(".")


def _planned(work: Workload) -> float | None:
    """Seconds of one turn, where the workload says how long each load lasts."""
    if work.duration is None:
        return None
    return float(work.duration) * len(work.points) * work.repeats


def _round(number: int, least: int, most: int) -> str:
    if most == 1:
        return ""
    if least < number < most:
        return f"round {number} of at most {most}"
    return f"round {number} of {least} to {most}" if number <= least < most else f"round {number} of {most}"


def _span(least: float, most: float) -> str:
    def words(seconds: float) -> str:
        return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"

    return words(most) if words(least) == words(most) or least <= 0 else f"{words(least)} to {words(most)}"
