"""The verdict of a comparison: effects turned into words a person can act on, "within noise" when that is the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from llm_magics.results.effects import Effect
from llm_magics.results.failures import Failures
from llm_magics.results.metrics import METRICS
from llm_magics.results.point_words import at_point, too_few
from llm_magics.results.sight import blind, meaning, remedy, size
from llm_magics.results.wording import claim, titled, whose, winner


@dataclass(frozen=True)
class Verdict:
    """What a comparison says.

    Attributes
    ----------
    headline
        One sentence: who is ahead, or that nobody is.
    sentences
        One for each sweep point (or one for each figure of answers).
    notes
        What words of the sentences mean, and what would tell more.
    caveats
        What makes the comparison unfair or weak.
    better
        The side that is ahead wherever a difference is certain; None when there is none, or each is ahead somewhere.
    """

    headline: str
    sentences: list[str] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)
    better: str | None = None
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join([self.headline, *self.sentences, *self.notes, *(f"Careful: {each}." for each in self.caveats)])

    __repr__ = __str__


def of_effects(
    effects: Sequence[Effect],
    points: Sequence[str],
    labels: Sequence[str],
    flags: Sequence[str],
    failures: Sequence[Failures] = (),
    stopped: str = "",
    besides: Collection[str] = (),
) -> Verdict:
    """The verdict of runs; who failed more of its requests is said first, and is ahead of nobody whom it failed.

    Metrics of `besides` are spoken of only where they differ, and never counted.
    """
    effects = [effect for effect in effects if effect.metric not in besides or effect.outcome == "different"]
    counted = [effect for effect in effects if effect.metric not in besides]
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
        headline = "" if failures else _nothing(counted)
    elif better:
        judged = [each for each in counted if each.corrected is not None and each.outcome != "survivors"]
        tested = sum(better in (each.base, each.other) for each in judged)
        won = [effect for effect in certain if winner(effect) == better]
        headline = _better(better, [each for each in won if each in counted] or won, points, tested, len(labels))
    elif undefeated:
        last = " and ".join(label for label in labels if behind[label])
        headline = f"{' and '.join(undefeated)} are ahead of {last}; between them no difference is certain."
    else:
        # beside its main figures a side's others are not told, unless it has none
        main = {label for label in labels if any(winner(effect) == label for effect in certain if effect in counted)}
        told = [effect for effect in certain if effect in counted or winner(effect) not in main]
        each = (
            f"{label} is ahead in {_where([effect for effect in told if winner(effect) == label], points)}"
            for label in labels
            if ahead[label]
        )
        headline = f"It depends: {'; '.join(each)}."
    headline = " ".join([*_failed(failures), *([headline] if headline else [])])
    sentences = [at_point(point, [effect for effect in effects if effect.point == point], besides) for point in points]
    few = too_few(effects)
    ended = [f"Rounds: {stopped}."] if stopped else []
    said = [*(each for each in sentences if each), *few, *ended]
    return Verdict(headline, said, list(flags), better, _notes(said, counted))


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
    more = f" ({len(effects) - 1} more below)" if len(effects) > 1 else ""
    return f"In {where}, {claim(shown)} at {shown.point}{more}; run 3 rounds or more for a verdict."


def _nothing(effects: Sequence[Effect]) -> str:
    """That no difference was seen, and of what size one in the main figure would have been (at every load)."""
    judged = [effect for effect in effects if effect.corrected is not None and effect.outcome != "survivors"]
    unsure = any(each.outcome == "unsure" for each in judged)
    if not judged:
        return "Nothing that could differ was measured well enough."
    worst = max(
        (effect for effect in judged if effect.metric == judged[0].metric), key=lambda effect: effect.detectable or 0.0
    )
    title = titled(worst)
    if not blind(worst):
        begun = "No difference is certain" if unsure else "Within noise: no difference was seen"
        return f"{begun}; a difference of {size(worst)} in {title} would have been seen."
    none = f"no difference below {size(worst)}" if size(worst) else "not even a difference of 100 %"
    if unsure:
        return f"No difference is certain, and {none} in {title} would have been seen."
    return f"Too noisy to tell: {none} in {title} would have been seen."


def _notes(sentences: Sequence[str], effects: Sequence[Effect]) -> list[str]:
    """What "would have seen" means where it was said, and what would see more in the first figure that saw little."""
    by_title: dict[str, list[Effect]] = {}
    for effect in effects:
        by_title.setdefault(titled(effect), []).append(effect)
    remedies = (said for title, group in by_title.items() for said in remedy(group, title))
    return [*meaning(sentences), *list(remedies)[:1]]


def _better(label: str, won: Sequence[Effect], points: Sequence[str], tested: int, sides: int) -> str:
    """One side is never behind: better on the whole, or (ahead in less than half) only where it is named."""
    if 2 * len(won) < tested:
        return f"{label} is ahead in {_where(won, points)}; no other difference of {tested} is certain."
    count = f"ahead in {len(won)} of {tested} comparisons, behind in none"
    if sides > 2:
        return f"{label} is better: {count}."
    main = claim(won[0])
    for own, word in ((f"{whose(label)} ", "its "), (f"{label} ", "it ")):
        if main.startswith(own):
            main = word + main.removeprefix(own)
            break
    return f"{label} is better: {main} at {won[0].point}; {count}."


def _where(won: Sequence[Effect], points: Sequence[str]) -> str:
    """Metrics, and at which loads where it is not all of them; the first three."""
    at = {
        title: [effect.point for effect in won if titled(effect) == title] for title in dict.fromkeys(map(titled, won))
    }
    each = [title if len(set(here)) == len(points) else f"{title} at {', '.join(here)}" for title, here in at.items()]
    return _listed(each[:3]) if len(each) <= 3 else f"{', '.join(each[:3])} and {len(each) - 3} more"


def _listed(each: Sequence[str]) -> str:
    return " and ".join([*([", ".join(each[:-1])] if each[:-1] else []), each[-1]])
