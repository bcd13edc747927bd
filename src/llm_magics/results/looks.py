"""When a comparison that may go on has seen enough, and what looking early costs.

Whoever looks after every round and stops at the first difference finds one too often. So the 5 % that a verdict may err
are spent: of the looks after rounds 3, 4 and 5 each has its own part, and what is claimed at a look is tested (and its
interval given) at that part alone. Whatever makes the comparison stop, it errs at some look with at most the sum of
the parts (Bonferroni over looks; the intervals are repeated confidence intervals, Jennison and Turnbull 1989), which
holds for any stopping rule, also for one that looks at the width of the intervals, and whatever the noise is like.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from llm_magics.results.effects import Effect

SPENT = {3: 0.01, 4: 0.015, 5: 0.025}
"""Rounds at which it is looked -> the part of the error spent there. Late looks, which see most, have most."""

MOST = max(SPENT)
NARROW = 0.05  # width of an interval, relative: less is no reason to go on
HEADLINES = ("steady_output_throughput", "output_throughput", "median_e2el_ms")


def level(rounds: int) -> float:
    """The level at which a look after so many rounds is judged; rounds that are no look are judged as the next one."""
    return 1 - SPENT[next((look for look in SPENT if look >= rounds), MOST)]


def enough(effects: Sequence[Effect]) -> str:
    """Why no more rounds are needed; "" while they are.

    Looked at is each pair's headline figure at each point: throughput in a closed loop; at a given rate, where every
    server gives what is sent, the time of a whole request.
    """
    headlines = [_headline(list(group)) for _, group in groupby(sorted(effects, key=_where), key=_where)]
    known = [each for each in headlines if each is not None]
    if not known or len(known) < len(headlines):
        return ""
    if all(each.outcome == "different" for each in known):
        return "every difference in the main figure is certain"
    if all(each.outcome == "different" or _narrow(each) for each in known):
        return f"the main figure is known to {NARROW:.0%}".replace("%", " %")
    return ""


def _where(effect: Effect) -> tuple[str, str, str]:
    return effect.point, effect.base, effect.other


def _headline(effects: Sequence[Effect]) -> Effect | None:
    here = {effect.metric: effect for effect in effects}
    wanted = HEADLINES[::-1] if effects[0].point.endswith("req/s") else HEADLINES
    return next((here[name] for name in wanted if name in here and here[name].low is not None), None)


def _narrow(effect: Effect) -> bool:
    return effect.low is not None and effect.high is not None and effect.high - effect.low < NARROW
