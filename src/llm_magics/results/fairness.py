"""What makes a comparison unfair: each rule one sentence, with the figures of both sides.

A verdict is words about two servers; these are the reasons why it may be words about something else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from llm_magics.results import flags, prompt_flags, settings
from llm_magics.results.columns import OK, Columns
from llm_magics.results.effects import LEAST_ROUNDS
from llm_magics.results.run import Run

TOKENS = 0.01  # share by which mean tokens in or out may differ
CACHED = 0.05  # share of prompt tokens by which cache hits may differ

_SAMPLING = ("temperature", "ignore_eos", "extra_body", "endpoint")
_APART = ("seed", "slo", "timeout", "drain", "workers", "data", *_SAMPLING)
_GENERATED = ("random", "sonnet", "prefix", "trace")
_MACHINE = ("system", "cores", "gpu", "driver", "host")


def unfair(sides: Mapping[str, Sequence[Run]], pooled: Mapping[str, Run]) -> list[str]:
    """The flags of a comparison.

    Parameters
    ----------
    sides
        Label -> rounds.
    pooled
        Label -> the rounds as one run.
    """
    return [
        *_what_was_sent(sides),
        *_sampling_defaults(sides),
        *settings.differing(sides),
        *_tokens(pooled),
        *_caches(pooled),
        *_client(sides),
        *_completeness(sides, pooled),
        *_machines(sides),
        *_rounds(sides),
    ]


def _what_was_sent(sides: Mapping[str, Sequence[Run]]) -> Iterator[str]:
    works = {label: runs[0].workload for label, runs in sides.items()}
    if all(works.values()):
        keys = sorted({key for work in works.values() for key in work})
        if differing := [key for key in keys if key not in _APART and _differ([w.get(key) for w in works.values()])]:
            yield f"the workloads differ in {', '.join(differing)}"
        for key in _SAMPLING:
            if _differ(said := [work.get(key) for work in works.values()]):
                yield f"{key} differs: {_each(works, said)}"
    seeds = [[run.workload.get("seed") for run in runs] for runs in sides.values()]
    made = any(work.get("workload") in _GENERATED for work in works.values())
    # words of generated prompts come from the salt; a file's rows are what they are, whatever the salt
    words = [
        [(run.header.get("prompts") or {}).get("salt" if made else "digest") for run in runs] for runs in sides.values()
    ]
    if any(None in each for each in seeds):
        unknown = [label for label, each in zip(sides, seeds, strict=True) if None in each]
        yield f"what {', '.join(unknown)} was sent is not known: the prompts may differ"
    elif _apart(seeds):
        yield f"the prompts are not the same, their seeds differ: {_each(sides, seeds)}"
    elif all(each is not None for side in words for each in side) and _apart(words):
        yield (
            "the prompts have the same lengths but not the same words: the runs were made apart"
            if made
            else "the prompts are not the same, their rows differ"
        )
    elif any(map(_apart, _schedules(sides))):
        yield "the schedules are not the same, though the seeds are: the runs were made by different versions"


def _schedules(sides: Mapping[str, Sequence[Run]]) -> Iterator[list[list[str]]]:
    """Of each load that all sides were given, where its schedule is known: each side's, one a round."""
    if _differ([runs[0].header.get("asked_for") for runs in sides.values()]):
        return  # other loads under one name
    for label in dict.fromkeys(point["label"] for point in next(iter(sides.values()))[0].asked):
        told = [
            [" ".join(point.get("schedule") or ()) for run in runs for point in run.asked if point["label"] == label]
            for runs in sides.values()
        ]
        if all(each and all(each) for each in told):
            yield told


def _apart(sides: Sequence[Sequence[Any]]) -> bool:
    """Whether the rounds of some side are not those of another, be it that one played more of them."""
    counts = [Counter(side) for side in sorted(sides, key=len)]
    return any(not fewer <= more for fewer, more in pairwise(counts))


def _sampling_defaults(sides: Mapping[str, Sequence[Run]]) -> Iterator[str]:
    left = [label for label, runs in sides.items() if (work := runs[0].workload) and work.get("temperature", 0) is None]
    if len(left) == len(sides) and not settings.same_defaults(sides):
        yield "temperature is left to the servers, and their defaults (generation_config) may differ"


def _tokens(pooled: Mapping[str, Run]) -> Iterator[str]:
    for name, word in (("prompt_tokens", "tokens in"), ("output_tokens", "tokens out")):
        means = [_mean_tokens(run, name) for run in pooled.values()]
        known = [each for each in means if each is not None]
        if len(known) == len(means) and known and max(known) - min(known) > TOKENS * max(known):
            yield f"different {word}: {_each(pooled, [f'{each:.1f} on average' for each in known])}"
    for label, run in pooled.items():
        silent, answers = _silent(run)
        if silent > TOKENS * answers:
            yield f"{label} gave no token counts for {silent} of {answers} answers: of them no token figure tells"
    missed = [label for label, run in pooled.items() if _length_missed(run)]
    if missed:
        yield f"the fixed length was not honoured by {', '.join(missed)}: its answers have another length than asked"


def _caches(pooled: Mapping[str, Run]) -> Iterator[str]:
    shares = [_cached_share(run) for run in pooled.values()]
    known = [each for each in shares if each is not None]
    if len(known) == len(shares) and known and max(known) - min(known) > CACHED:
        told = [f"{each * 100:.0f} % of the prompt tokens" for each in known]
        yield f"caches helped unequally: {_each(pooled, told)}"
    elif known and len(known) < len(shares) and max(known) > CACHED:
        told = [label for label, each in zip(pooled, shares, strict=True) if each is not None]
        share = f"{max(known) * 100:.0f} % of the prompt tokens"
        yield f"{', '.join(told)} answered up to {share} from its cache; the others do not say"
    yield from next((found for run in pooled.values() if (found := list(prompt_flags.rows_again(run)))), [])


def _client(sides: Mapping[str, Sequence[Run]]) -> Iterator[str]:
    for label, runs in sides.items():
        if why := flags.overload([audit for run in runs for audit in run.audits]):
            yield f"the load generator was overloaded while it measured {label} ({why}): latencies may be its own"
    for label, runs in sides.items():
        if beside := list(dict.fromkeys(each for run in runs for each in flags.disturbed(run))):
            more = f" (and {len(beside) - 1} more)" if len(beside) > 1 else ""
            yield f"while {label} was measured, {beside[0]}{more}"
        missed = list(dict.fromkeys(each for run in runs for each in flags.load_missed(run)))
        if missed:
            more = f" (and {len(missed) - 1} more)" if len(missed) > 1 else ""
            yield f"{label} did not get the load that was asked for: {missed[0]}{more}"


def _completeness(sides: Mapping[str, Sequence[Run]], pooled: Mapping[str, Run]) -> Iterator[str]:
    asked = [runs[0].header.get("asked_for") for runs in sides.values()]
    if _differ(asked):
        yield f"the loads are not the same: {_each(sides, asked)}; they are compared because each run has only one"
    for label, runs in sides.items():
        if any(run.partial for run in runs):
            yield f"{label} is partial: a run ended before all was measured"
    for label, run in pooled.items():
        failed = sum(point.get("failed") or 0 for point in run.points)
        total = failed + sum(point.get("completed") or 0 for point in run.points)
        if failed:
            yield f"{failed} of {total} requests to {label} failed; the latencies are of those that did not"
    names = {label: [point.get("label") for point in run.points] for label, run in pooled.items()}
    for name in dict.fromkeys(name for each in names.values() for name in each):
        if missing := [label for label, each in names.items() if name not in each]:
            yield f"{name} was not measured for {', '.join(missing)} and is left out"
    summaries = [label for label, run in pooled.items() if run.given is not None]
    if summaries:
        yield f"of {', '.join(summaries)} there are only summaries: no interval within a round can be given"


def _machines(sides: Mapping[str, Sequence[Run]]) -> Iterator[str]:
    for key in _MACHINE:
        said = [runs[0].header.get(key) for runs in sides.values()]
        if all(each is not None for each in said) and _differ(said):
            yield f"measured on different machines ({key}: {_each(sides, said)})"
            return


def _rounds(sides: Mapping[str, Sequence[Run]]) -> Iterator[str]:
    least = min(_round_count(runs) for runs in sides.values())
    if least < LEAST_ROUNDS:
        yield (
            f"{least} round{'s' if least > 1 else ''} each: what changes from run to run is not in the intervals; "
            f"{LEAST_ROUNDS} rounds or more would show it"
        )


def _round_count(runs: Sequence[Run]) -> int:
    return sum(len(np.unique(run.measured.repeat)) or 1 for run in runs)


def _answered(run: Run) -> Columns:
    return run.measured.take(run.measured.status == OK)


def _mean_tokens(run: Run, name: str) -> float | None:
    if run.given is not None:
        key = "total_input_tokens" if name == "prompt_tokens" else "total_output_tokens"
        done = sum(point.get("completed") or 0 for point in run.points)
        known = [total for point in run.points if (total := point.get(key)) is not None]
        return sum(known) / done if done and len(known) == len(run.points) else None
    counts = getattr(_answered(run), name)
    return float(counts[counts >= 0].mean()) if (counts >= 0).any() else None


def _silent(run: Run) -> tuple[int, int]:
    """Answers without a count of their tokens, and all answers; of summaries nothing is known."""
    columns = _answered(run)
    return int(np.sum(columns.output_tokens < 0)), len(columns)


def _length_missed(run: Run) -> bool:
    columns = _answered(run)
    fixed = (columns.asked_tokens > 0) & (columns.output_tokens >= 0)
    if not run.workload.get("ignore_eos", True) or run.workload.get("json_schema") is not None or not fixed.any():
        return False
    return bool(np.mean(columns.asked_tokens[fixed] != columns.output_tokens[fixed]) > prompt_flags.LENGTH)


def _cached_share(run: Run) -> float | None:
    """Share of the prompt tokens from a cache, by what each answer says, else by the server's own counters."""
    columns = _answered(run)
    known = (columns.cached_tokens >= 0) & (columns.prompt_tokens > 0)
    if known.any():
        return float(columns.cached_tokens[known].sum() / columns.prompt_tokens[known].sum())
    counted = [point.get("server_prefix_hits") for point in run.points]
    shares = [share for share in counted if share is not None]
    return sum(shares) / len(shares) if shares else None


def _differ(values: Sequence[Any]) -> bool:
    return any(value != values[0] for value in values[1:])


def _each(labels: Mapping[str, Any], values: Sequence[Any]) -> str:
    shown = [value[0] if isinstance(value, list) and len(value) == 1 else value for value in values]
    return ", ".join(f"{label} {value}" for label, value in zip(labels, shown, strict=True))
