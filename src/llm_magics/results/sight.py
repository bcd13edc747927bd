"""What a comparison could have seen: whether that is worth anything, what it means, and how more would be seen.

"No difference seen" says nothing by itself. A comparison that would have missed a difference of a quarter must not read
as one that found two servers alike.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from llm_magics.results.effects import LEAST_ROUNDS, PAIRED_ROUNDS, Effect
from llm_magics.results.statistics import LEVEL, POWER, Doubt

BLIND = 0.25  # a difference of this size that would be missed: "too noisy to tell" in place of "no difference seen"
_SAID = re.compile(r"\(would have seen ([^)]+)\)")
_TRIED = (4, 5, 6, 8, 10, 12, 15, 20, 25, 30)


def size(effect: Effect) -> str:
    """A difference that would have been found: `8.0 %`; nothing where not even one of 100 % would."""
    if effect.detectable is None or effect.detectable > 1:
        return ""
    return _amount(effect.metric, effect.detectable)


def blind(effect: Effect) -> bool:
    """Whether it would have missed a difference that nobody would want to miss."""
    return effect.detectable is None or effect.detectable > BLIND


def meaning(sentences: Sequence[str]) -> Iterator[str]:
    """What "would have seen" means, by the first size of which the sentences say it."""
    if said := _SAID.search(" ".join(sentences)):
        found = f"{POWER * 10:.0f} of 10 such comparisons would have found it"
        yield f'"Would have seen {said[1]}": had the sides differed by {said[1]}, {found}; less may be there unseen.'


def remedy(effects: Sequence[Effect], title: str) -> Iterator[str]:
    """What would see a difference that this comparison is blind to, in its figure of that title; rounds from three on.

    Parameters
    ----------
    effects
        Those of one figure, at every load.
    """
    unseen = [effect for effect in effects if effect.outcome in ("noise", "unsure") and blind(effect)]
    if not unseen or min(effect.rounds for effect in unseen) < LEAST_ROUNDS:
        return
    wanted = f"a difference of {_amount(unseen[0].metric, BLIND)} in {title}"
    needed = [rounds_to_see(effect, BLIND) for effect in unseen]
    if None in needed:
        yield (
            f"Even {_TRIED[-1]} rounds like these would miss {wanted}: measure longer ones (more requests, or a longer "
            "duration) on a machine that does nothing else."
        )
        return
    many = max(each for each in needed if each is not None)
    yield (
        f"To see {wanted}: about {many} rounds like these (--rounds {many}); fewer when each has more requests, or "
        "when nothing else runs on the machine."
    )


def rounds_to_see(effect: Effect, wanted: float) -> int | None:
    """How many rounds like those that were played would find a difference of that size.

    None: more than are tried, or fewer than three were played, which do not know how much rounds differ.

    Doubts shrink with the square root of the rounds. From `PAIRED_ROUNDS` on rounds are paired, which leaves half of
    the degrees of freedom. Rounds that are asked for are judged once, at the whole level.
    """
    if effect.rounds < LEAST_ROUNDS:
        return None
    goal = wanted if effect.metric == "goodput" else math.log1p(wanted)
    level = 1 - (1 - LEVEL) * effect.part
    for many in _TRIED:
        if many > effect.rounds and all(
            _after(doubt, effect.rounds, many).detectable(level) <= goal for doubt in effect.doubts
        ):
            return many
    return None


def _after(doubt: Doubt, rounds: int, many: int) -> Doubt:
    paired = 0.5 if rounds < PAIRED_ROUNDS <= many else 1.0
    df = max(1.0, doubt.df * (many - 1) / (rounds - 1) * paired)
    return Doubt(doubt.error * math.sqrt(rounds / many), df)


def _amount(metric: str, detectable: float) -> str:
    percent = detectable * 100
    if metric == "goodput":
        return f"{percent:.0f} of 100 requests"
    return f"{percent:.0f} %" if percent >= 9.5 else f"{percent:.1f} %"
