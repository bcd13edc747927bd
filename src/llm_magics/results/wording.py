"""One effect in words: who is ahead and by how much, or why nobody is; the same words in headline and sentences."""

from __future__ import annotations

from collections.abc import Sequence

from llm_magics.results.effects import Effect
from llm_magics.results.metrics import METRICS
from llm_magics.results.sight import blind, size

SURVIVORS = "not judged, for one side failed more requests and only answered ones have a latency"
NOISY = "too noisy to tell"
UNSEEN = "within noise, no difference seen"
DEPENDENT = "too few independent requests to tell"


def winner(effect: Effect) -> str:
    """The side whose figure is better."""
    more = effect.difference > 0
    return effect.other if more == (METRICS[effect.metric].better == "higher") else effect.base


def words(effect: Effect) -> str:
    """One effect in words, without the point: `B gives 12 % [9, 15] more output tokens/s than A`."""
    title = titled(effect)
    if effect.outcome == "noise":
        return f"{title}: {NOISY if blind(effect) else UNSEEN}{seen(effect)}"
    if effect.outcome == "dependent":
        return f"{title}: {DEPENDENT}"
    if effect.outcome == "survivors":
        return f"{title}: {SURVIVORS}"
    if effect.outcome == "once":
        return f"{claim(effect)} ({'in one run' if effect.rounds <= 1 else f'in {effect.rounds} rounds'})"
    if effect.outcome == "unmeasured":
        return f"{claim(effect)} (no interval can be given)"
    if effect.outcome == "unsure":
        return f"{claim(effect)} (not certain among so many comparisons)"
    return claim(effect)


def unseen(effects: Sequence[Effect]) -> str:
    """Several metrics in which no difference was seen, the words said once, for each what would have been seen."""
    return words(effects[0]) if len(effects) == 1 else f"{UNSEEN}: {sized(effects)}"


def sized(effects: Sequence[Effect]) -> str:
    """Metrics, each with what would have been seen: `TTFT p50 (would have seen 8.0 %), TPOT p50 (5.0 %)`."""
    known = [effect for effect in effects if size(effect)]
    titles = [f"{titled(each)}{seen(each) if each is known[0] else f' ({size(each)})'}" for each in known]
    return ", ".join([*titles, *(titled(each) for each in effects if each not in known)])


def seen(effect: Effect) -> str:
    """` (would have seen 8.0 %)`, where that can be said."""
    return f" (would have seen {size(effect)})" if size(effect) else ""


def claim(effect: Effect) -> str:
    best = winner(effect)
    other = effect.base if best == effect.other else effect.other
    if effect.metric == "goodput":
        ends = [] if effect.low is None or effect.high is None else sorted(_signed(effect, best))
        span = f" [{ends[0] * 100:.0f}, {ends[1] * 100:.0f}]" if ends else ""
        return f"{best} meets the SLO for {abs(effect.difference) * 100:.0f}{span} of 100 requests more than {other}"
    size, span, times = _amount(effect, best)
    if METRICS[effect.metric].better == "higher":
        if times:
            return f"{best} gives {size} times{span} the {titled(effect)} of {other}"
        return f"{best} gives {size} %{span} more {titled(effect)} than {other}"
    unit = "times" if times else "%"
    return f"{whose(best)} {titled(effect)} is {size} {unit}{span} shorter than {whose(other)}"


def whose(label: str) -> str:
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


def titled(effect: Effect) -> str:
    """How a sentence names the effect's metric."""
    return named(METRICS[effect.metric].title)


def named(title: str) -> str:
    """A title within a sentence: small, but for abbreviations; that a throughput is the steady one is left out."""
    title = title.removesuffix(", steady")
    return title if title[:3].isupper() or title[:2] == "E2" else title[0].lower() + title[1:]
