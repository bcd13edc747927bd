"""What a verdict says of one sweep point: what differs, then what does not; and of which metrics it may not speak."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from llm_magics.results.effects import Effect
from llm_magics.results.metrics import METRICS
from llm_magics.results.sight import blind
from llm_magics.results.statistics import least_requests
from llm_magics.results.wording import (
    DEPENDENT,
    NOISY,
    SURVIVORS,
    claim,
    named,
    sized,
    titled,
    unseen,
    whose,
    winner,
    words,
)


def at_point(point: str, effects: Sequence[Effect], besides: Collection[str] = ()) -> str:
    """What is to be said of one sweep point: what differs (the best side), what does not, what cannot be told."""
    said: list[str] = []
    same: list[Effect] = []
    untold: dict[str, list[Effect]] = {}
    judged = {
        metric: [each for each in effects if each.metric == metric and each.outcome != "survivors"]
        for metric in dict.fromkeys(effect.metric for effect in effects)
    }
    for metric, group in judged.items():
        here = [effect for effect in group if effect.outcome != "few"]
        if not here or (metric in besides and _said_by(here, judged)):
            continue
        two = len({label for effect in here for label in (effect.base, effect.other)}) == 2
        outcomes = {effect.outcome for effect in here}
        if outcomes == {"noise"}:
            worst = max(here, key=lambda effect: effect.detectable or 0.0)  # of several sides: the pair known least
            (untold.setdefault(NOISY, []) if blind(worst) else same).append(worst)
        elif outcomes == {"dependent"}:
            untold.setdefault(DEPENDENT, []).append(here[0])
        else:
            too = _too([each for each in judged if each in besides and _said_by(judged[each], {metric: group})])
            said.append(words(here[0]) + too if two else _among_many(here, too))
    if same:
        said.append(unseen(same))
    said += (f"{sized(each)}: {why}" for why, each in untold.items())
    if unjudged := [metric for metric, group in judged.items() if not group]:
        titles = ", ".join(METRICS[metric].title for metric in unjudged)
        said.append(f"{titles}: {SURVIVORS}")
    return f"At {point}: {'; '.join(said)}." if said else ""


def _said_by(effects: Sequence[Effect], judged: Mapping[str, Sequence[Effect]]) -> bool:
    """Whether the median says the same of the same times: it then stands for mean and tail, which are only named."""
    median = f"median_{effects[0].metric.partition('_')[2]}" if effects else ""
    known = {(each.base, each.other): winner(each) for each in judged.get(median, ()) if each.outcome == "different"}
    return bool(effects) and all(known.get((each.base, each.other)) == winner(each) for each in effects)


def _too(metrics: Sequence[str]) -> str:
    names = [metric.partition("_")[0] for metric in metrics]
    return f", {' and '.join([', '.join(names[:-1]), names[-1]] if names[1:] else names)} too" if names else ""


def _among_many(effects: Sequence[Effect], too: str) -> str:
    """With three sides or more: the best one against each other one."""
    value = {effect.base: effect.base_value for effect in effects} | {
        effect.other: effect.other_value for effect in effects
    }
    metric = METRICS[effects[0].metric]
    best = (max if metric.better == "higher" else min)(value, key=lambda label: value[label])
    against = [effect for effect in effects if best in (effect.base, effect.other)]
    ahead = [effect for effect in against if effect.outcome == "different"]
    if not ahead:
        return f"{titled(effects[0])}: {_undecided(effects, best)}"
    # the claims are all of one side: it is named once
    claims = [claim(effect).removeprefix(f"{best} ").removeprefix(f"{whose(best)} ") for effect in ahead]
    near = [effect.other if effect.base == best else effect.base for effect in against if effect.outcome != "different"]
    tied = f" (no certain difference to {' and '.join(near)})" if near else ""
    owner = best if metric.better == "higher" else whose(best)
    return f"{owner} {' and '.join(claims)}{too}{tied}"


def _undecided(effects: Sequence[Effect], best: str) -> str:
    """Why no side is certainly ahead of any other, where it is not noise alone."""
    if any(effect.outcome == "once" for effect in effects):
        return f"{best} leads, in too few rounds to be certain"
    return f"{best} leads, not certainly"


def too_few(effects: Sequence[Effect]) -> list[str]:
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
