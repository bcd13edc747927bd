"""The verdict of a comparison: effects turned into words a person can act on, "within noise" when that is the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from llm_magics.results.answers import Answer
from llm_magics.results.effects import Effect, Outcome
from llm_magics.results.failures import Failures
from llm_magics.results.metrics import METRICS

NOTHING = "No difference was seen."
SURVIVORS = "not judged, for one side failed more requests and only answered ones have a latency"
NOISY = "too noisy to tell"
DEPENDENT = "too few independent requests to tell"


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
    return Verdict(headline, [*(each for each in sentences if each), *few], list(flags), better)


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
    return f"In {where}, {_claim(shown, title)} at {shown.point}{more}; run 3 rounds or more for a verdict."


def _better(label: str, won: Sequence[Effect], tested: int) -> str:
    """One side is never behind: better on the whole, or (ahead in less than half) only where it is named."""
    if 2 * len(won) >= tested:
        return f"{label} is better: ahead in {len(won)} of {tested} comparisons, behind in none."
    return f"{label} is ahead in {_where(won)}; no other difference of {tested} is certain."


def _where(won: Sequence[Effect]) -> str:
    """The first three of some effects, by metric and load."""
    named = [f"{_named(METRICS[effect.metric].title)} at {effect.point}" for effect in won[:3]]
    return ", ".join(named) + (f" and {len(won) - 3} more" if len(won) > 3 else "")


def winner(effect: Effect) -> str:
    """The side whose figure is better."""
    more = effect.difference > 0
    return effect.other if more == (METRICS[effect.metric].better == "higher") else effect.base


def words(effect: Effect) -> str:
    """One effect in words, without the point: `B gives 12 % [9, 15] more output tokens/s than A`."""
    title = METRICS[effect.metric].title.removesuffix(", steady")
    if effect.outcome == "noise":
        size = _size(effect.detectable, effect.metric)
        return f"{_named(title)}: within noise (would have seen {size})" if size else f"{_named(title)}: {NOISY}"
    if effect.outcome == "dependent":
        return f"{_named(title)}: {DEPENDENT}"
    if effect.outcome == "survivors":
        return f"{_named(title)}: {SURVIVORS}"
    if effect.outcome == "once":
        return f"{_claim(effect, title)} ({'in one run' if effect.rounds <= 1 else f'in {effect.rounds} rounds'})"
    if effect.outcome == "unmeasured":
        return f"{_claim(effect, title)} (no interval can be given)"
    if effect.outcome == "unsure":
        return f"{_claim(effect, title)} (not certain among so many comparisons)"
    return _claim(effect, title)


def of_answers(answers: Mapping[str, Answer]) -> Verdict:
    """The verdict of answers to one prompt: who was first and faster, whether they said the same; never more."""
    good = {label: answer for label, answer in answers.items() if answer.ok}
    sentences = [f"{label} did not answer: {answer.error}" for label, answer in answers.items() if not answer.ok]
    first = {label: answer.ttft for label, answer in good.items() if answer.ttft is not None}
    if len(first) > 1:
        order = sorted(first, key=lambda label: first[label])
        times = ", ".join(f"{label} {first[label] * 1e3:.0f} ms" for label in order)
        sentences.append(f"{order[0]} was first to speak ({times}).")
    speed = {label: answer.tokens_per_s for label, answer in good.items() if answer.tokens_per_s}
    if len(speed) > 1:
        order = sorted(speed, key=lambda label: -speed[label])
        rates = ", ".join(f"{label} {speed[label]:.1f} tokens/s" for label in order)
        sentences.append(f"{order[0]} wrote fastest ({rates}).")
    if len(good) > 1:
        same = len({answer.text for answer in good.values()}) == 1
        sentences.append("The answers are identical." if same else f"The answers differ{_lengths(good)}.")
        if len({answer.prompt_tokens for answer in good.values()} - {None}) > 1:
            counts = ", ".join(f"{label} {answer.prompt_tokens}" for label, answer in good.items())
            sentences.append(f"The prompt is not the same to all of them: {counts} tokens.")
    return Verdict("One prompt decides nothing: compare under load for a verdict.", sentences)


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
        return f"{_named(title)}: {_undecided([effect.outcome for effect in effects], best)}"
    # the claims are all of one side: it is named once
    claims = [_claim(effect, title).removeprefix(f"{best} ").removeprefix(f"{_whose(best)} ") for effect in ahead]
    near = [effect.other if effect.base == best else effect.base for effect in against if effect.outcome != "different"]
    tied = f" (no certain difference to {' and '.join(near)})" if near else ""
    owner = best if metric.better == "higher" else _whose(best)
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


def _claim(effect: Effect, title: str) -> str:
    best = winner(effect)
    other = effect.base if best == effect.other else effect.other
    if effect.metric == "goodput":
        ends = [] if effect.low is None or effect.high is None else sorted(_signed(effect, best))
        span = f" [{ends[0] * 100:.0f}, {ends[1] * 100:.0f}]" if ends else ""
        return f"{best} meets the SLO for {abs(effect.difference) * 100:.0f}{span} of 100 requests more than {other}"
    size, span, times = _amount(effect, best)
    if METRICS[effect.metric].better == "higher":
        if times:
            return f"{best} gives {size} times{span} the {_named(title)} of {other}"
        return f"{best} gives {size} %{span} more {_named(title)} than {other}"
    unit = "times" if times else "%"
    return f"{_whose(best)} {_named(title)} is {size} {unit}{span} shorter than {_whose(other)}"


def _whose(label: str) -> str:
    return f"{label}'" if label.endswith("s") else f"{label}'s"


def _amount(effect: Effect, best: str) -> tuple[str, str, bool]:
    """How far the better side is ahead of the other: text, interval, and whether it is a factor (2 or more)."""
    higher = METRICS[effect.metric].better == "higher"
    flipped = (best == effect.base) if higher else (best == effect.other)
    factors = [1 + each for each in (effect.difference, effect.low, effect.high) if each is not None]
    # as a factor >= 1 that the better side is ahead by
    ahead = [1 / factor if flipped else factor for factor in factors if factor > 0]
    if len(ahead) < len(factors):
        return "?", "", False
    if ahead[0] >= 2:
        ends = sorted(ahead[1:])
        return f"{ahead[0]:.1f}", f" [{ends[0]:.1f}, {ends[1]:.1f}]" if ends else "", True
    # more of the other's throughput, or less of the other's time
    shares = [(each - 1 if higher else 1 - 1 / each) * 100 for each in ahead]
    ends = sorted(shares[1:])
    digits = 0 if abs(shares[0]) >= 9.5 and (not ends or ends[1] - ends[0] >= 2) else 1
    span = f" [{ends[0]:.{digits}f}, {ends[1]:.{digits}f}]" if ends else ""
    return f"{shares[0]:.{digits}f}", span, False


def _signed(effect: Effect, best: str) -> list[float]:
    sign = 1.0 if best == effect.other else -1.0
    return [sign * each for each in (effect.low, effect.high) if each is not None]


def _size(detectable: float | None, metric: str) -> str:
    """A difference that would have been found; nothing where not even one of 100 % would."""
    if detectable is None or detectable > 1:
        return ""
    if metric == "goodput":
        return f"{detectable * 100:.0f} of 100 requests"
    percent = detectable * 100
    return f"{percent:.0f} %" if percent >= 9.5 else f"{percent:.1f} %"


def _too_few(effects: Sequence[Effect]) -> list[str]:
    from llm_magics.results.statistics import least_requests

    found: dict[str, tuple[int, int]] = {}
    for effect in effects:
        if effect.outcome == "few":
            share = 0.99 if effect.metric.startswith("p99") else 0.5
            had = min(effect.requests, found[effect.metric][1]) if effect.metric in found else effect.requests
            found[effect.metric] = (least_requests(share), had)
    return [
        f"No verdict on {_named(METRICS[metric].title)}: it takes {need} requests a point"
        f"{' under full load' if 'throughput' in metric else ''}, there were {had}."
        for metric, (need, had) in found.items()
    ]


def _named(title: str) -> str:
    return title.removesuffix(", steady") if title[:3].isupper() or title[:2] == "E2" else title[0].lower() + title[1:]


def _lengths(answers: Mapping[str, Answer]) -> str:
    counts = {label: answer.tokens for label, answer in answers.items() if answer.tokens is not None}
    return f" ({', '.join(f'{label} {count} tokens' for label, count in counts.items())})" if counts else ""
