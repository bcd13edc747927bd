"""The verdict of a comparison: effects turned into words a person can act on, "within noise" when that is the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from llm_magics.results.effects import Effect, Outcome
from llm_magics.results.failures import Failures
from llm_magics.results.metrics import METRICS
from llm_magics.results.wording import DEPENDENT, SURVIVORS, claim, named, whose, winner, words

NOTHING = "No difference was seen."


@dataclass(frozen=True)
class Verdict:
    """What a comparison says.

    Attributes
    ----------
    headline
        One sentence: who is ahead, or that nobody is.
    sentences
        One for each sweep point (or one for each figure of answers).
    caveats
        What makes the comparison unfair or weak.
    better
        The side that is ahead wherever a difference is certain; None when there is none, or each is ahead somewhere.
    """

    headline: str
    sentences: list[str] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)
    better: str | None = None

    def __str__(self) -> str:
        return "\n".join([self.headline, *self.sentences, *(f"Careful: {each}." for each in self.caveats)])

    __repr__ = __str__


def of_effects(
    effects: Sequence[Effect],
    points: Sequence[str],
    labels: Sequence[str],
    flags: Sequence[str],
    failures: Sequence[Failures] = (),
    stopped: str = "",
) -> Verdict:
    """The verdict of runs; who failed more of its requests is said first, and is ahead of nobody whom it failed."""
    certain = [effect for effect in effects if effect.outcome == "different"]
    once = [effect for effect in effects if effect.outcome == "once"]
    ahead = Counter(winner(effect) for effect in certain)
    behind = Counter(effect.base if winner(effect) == effect.other else effect.other for effect in certain)
    if certain:
        behind.update(each.worse for each in failures)
    undefeated = [label for label in labels if ahead[label] and not behind[label]]
    better = undefeated[0] if len(undefeated) == 1 else None
    if len(labels) < 2:
        headline = "One side only: there is nothing to compare it with."
    elif not points:
        headline = "No sweep point was measured on every side: nothing can be compared."
    elif all(effect.corrected is None for effect in effects):
        headline = "No verdict: there is not enough to tell differences from noise."
    elif once and not certain:
        headline = _once(once, points)
    elif not certain:
        headline = "" if failures else NOTHING
    elif better:
        judged = [each for each in effects if each.corrected is not None and each.outcome != "survivors"]
        tested = sum(better in (each.base, each.other) for each in judged)
        headline = _better(better, [effect for effect in certain if winner(effect) == better], tested)
    elif undefeated:
        last = " and ".join(label for label in labels if behind[label])
        headline = f"{' and '.join(undefeated)} are ahead of {last}; between them no difference is certain."
    else:
        each = (
            f"{label} is ahead in {_where([effect for effect in certain if winner(effect) == label])}"
            for label in labels
            if ahead[label]
        )
        headline = f"It depends: {'; '.join(each)}."
    headline = " ".join([*_failed(failures), *([headline] if headline else [])])
    sentences = [_at(point, [effect for effect in effects if effect.point == point]) for point in points]
    few = _too_few(effects)
    ended = [f"Rounds: {stopped}."] if stopped else []
    return Verdict(headline, [*(each for each in sentences if each), *few, *ended], list(flags), better)


def _failed(failures: Sequence[Failures]) -> Iterator[str]:
    """A sentence for each side that failed more than others."""
    for worse, points in dict.fromkeys((each.worse, each.points) for each in failures):
        here = [each for each in failures if (each.worse, each.points) == (worse, points)]
        where = f" at {', '.join(points[:3])}" + (f" and {len(points) - 3} more loads" if len(points) > 3 else "")
        less = ", ".join(f"{each.other} {_percent(each.other_share) if each.other_share else 'none'}" for each in here)
        yield f"{worse} failed {_percent(here[0].worse_share)} of its requests{where}; {less}."


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %" if share >= 0.095 else f"{share * 100:.2g} %"


def _once(effects: Sequence[Effect], points: Sequence[str]) -> str:
    """What is seen in fewer than three rounds, without the claim that it would be seen again."""
    shown = max(effects, key=lambda effect: (-list(METRICS).index(effect.metric), points.index(effect.point)))
    rounds = max(effect.rounds for effect in effects)
    where = "this one run" if rounds <= 1 else f"these {rounds} rounds"
    title = METRICS[shown.metric].title.removesuffix(", steady")
    more = f" ({len(effects) - 1} more below)" if len(effects) > 1 else ""
    return f"In {where}, {claim(shown, title)} at {shown.point}{more}; run 3 rounds or more for a verdict."


def _better(label: str, won: Sequence[Effect], tested: int) -> str:
    """One side is never behind: better on the whole, or (ahead in less than half) only where it is named."""
    if 2 * len(won) >= tested:
        return f"{label} is better: ahead in {len(won)} of {tested} comparisons, behind in none."
    return f"{label} is ahead in {_where(won)}; no other difference of {tested} is certain."


def _where(won: Sequence[Effect]) -> str:
    """The first three of some effects, by metric and load."""
    each = [f"{named(METRICS[effect.metric].title)} at {effect.point}" for effect in won[:3]]
    return ", ".join(each) + (f" and {len(won) - 3} more" if len(won) > 3 else "")


def _at(point: str, effects: Sequence[Effect]) -> str:
    """What is to be said of one sweep point: for each metric the best side against every other."""
    said = []
    left = [effect for effect in effects if effect.outcome != "survivors"]
    judged = {effect.metric for effect in left}
    unjudged = [each for each in dict.fromkeys(effect.metric for effect in effects) if each not in judged]
    effects = left
    for metric in dict.fromkeys(effect.metric for effect in effects):
        here = [effect for effect in effects if effect.metric == metric and effect.outcome != "few"]
        if here and len({label for effect in here for label in (effect.base, effect.other)}) == 2:
            said.append(words(here[0]))
        elif here:
            said.append(_among_many(here))
    if unjudged:
        titles = ", ".join(METRICS[metric].title for metric in unjudged)
        said.append(f"{titles}: {SURVIVORS}")
    return f"At {point}: {'; '.join(said)}." if said else ""


def _among_many(effects: Sequence[Effect]) -> str:
    """With three sides or more: the best one against each other one."""
    value = {effect.base: effect.base_value for effect in effects} | {
        effect.other: effect.other_value for effect in effects
    }
    metric = METRICS[effects[0].metric]
    best = (max if metric.better == "higher" else min)(value, key=lambda label: value[label])
    against = [effect for effect in effects if best in (effect.base, effect.other)]
    title = metric.title.removesuffix(", steady")
    ahead = [effect for effect in against if effect.outcome == "different"]
    if not ahead:
        return f"{named(title)}: {_undecided([effect.outcome for effect in effects], best)}"
    # the claims are all of one side: it is named once
    claims = [claim(effect, title).removeprefix(f"{best} ").removeprefix(f"{whose(best)} ") for effect in ahead]
    near = [effect.other if effect.base == best else effect.base for effect in against if effect.outcome != "different"]
    tied = f" (no certain difference to {' and '.join(near)})" if near else ""
    owner = best if metric.better == "higher" else whose(best)
    return f"{owner} {' and '.join(claims)}{tied}"


def _undecided(outcomes: Sequence[Outcome], best: str) -> str:
    """Why no side is certainly ahead of any other."""
    if all(outcome == "noise" for outcome in outcomes):
        return "within noise of one another"
    if all(outcome == "dependent" for outcome in outcomes):
        return DEPENDENT
    if "once" in outcomes:
        return f"{best} leads, in too few rounds to be certain"
    return f"{best} leads, not certainly"


def _too_few(effects: Sequence[Effect]) -> list[str]:
    from llm_magics.results.statistics import least_requests

    found: dict[str, tuple[int, int]] = {}
    for effect in effects:
        if effect.outcome == "few":
            share = 0.99 if effect.metric.startswith("p99") else 0.5
            had = min(effect.requests, found[effect.metric][1]) if effect.metric in found else effect.requests
            found[effect.metric] = (least_requests(share), had)
    return [
        f"No verdict on {named(METRICS[metric].title)}: it takes {need} requests a point"
        f"{' under full load' if 'throughput' in metric else ''}, there were {had}."
        for metric, (need, had) in found.items()
    ]
