"""Side by side: answers to one prompt, load in interleaved rounds, or engines one after another on one machine."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from llm_magics.api.learning import comparisons_noted
from llm_magics.errors import NoServerError, SpecError
from llm_magics.spec import ServerSpec, Workload
from llm_magics.spec.reading import build

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llm_magics.api.preparing import Prepared
    from llm_magics.api.targets import Target
    from llm_magics.results.answers import Answer
    from llm_magics.results.comparison import Comparison
    from llm_magics.results.run import Run


@dataclass(frozen=True)
class Prompt:
    """One prompt for every target, and how it is answered."""

    text: str
    max_tokens: int = 128
    temperature: float = 0.0


@comparisons_noted
def compare(
    targets: Sequence[Any] | None = None,
    *,
    prompt: str | None = None,
    workload: Mapping[str, Any] | None = None,
    engines: Sequence[str] | None = None,
    model: str | None = None,
    api_key: str | None = None,
    rounds: int | Literal["auto"] | None = None,
    restart: bool | None = None,
    max_tokens: int = 128,
    temperature: float = 0.0,
    lines: Mapping[str, int] | None = None,
    **options: Any,
) -> Comparison:
    """Put targets side by side: their answers to a prompt, or how they take a workload.

    Parameters
    ----------
    targets
        Servers, names or URLs; or finished runs (`Run`, rows of `runs()`, run ids, result files), which are compared
        as they are.
    prompt
        Every target answers it, side by side.
    workload
        Options of `Workload`; measured on every target in interleaved rounds (A B, B A, …).
    engines
        Instead of targets: engines that are started one after another with `model` and `options`, measured, stopped.
    model, api_key
        For engines: the model of all; for URLs: which of their models, and their key.
    rounds
        How often each side is measured; "auto" (and None): from 3 to 5 times, until the main figures are known to 5 %
        or certainly differ, with the looks in between paid for (`results.looks`). None with engines: 3 times, for each
        turn starts an engine, and two turns more seldom tell what three did not.
    restart
        Stop each server while another one is measured, and start it again for its turn; all run again at the end.
        None: only where two of them are on the same GPU.
    max_tokens, temperature
        For a prompt.
    options
        Options of `ServerSpec` for every engine in `engines`.

    Raises
    ------
    SpecError
        For fewer than two sides, or something wrong in the workload, before anything starts.
    TargetError
        When a target does not answer.
    """
    from llm_magics import views  # noqa: F401 - views registers how a Comparison is drawn

    task = _task(prompt, workload, max_tokens, temperature, lines)
    often = _rounds(rounds, under_load=not isinstance(task, Prompt))
    if restart is not None and (isinstance(task, Prompt) or engines):
        raise SpecError("restart is for servers that are compared under load.", then="add --load, leave --engines out")
    if engines:
        if targets:
            raise SpecError("A comparison takes targets or --engines, not both.")
        from llm_magics.results.effects import LEAST_ROUNDS

        return _in_turn(_engines(engines, model, options), task, LEAST_ROUNDS if rounds is None else often)
    if options:
        raise SpecError(
            f"{next(iter(options))} is an option of a server that is to be started.",
            then="it goes with --engines A,B; a server that runs has its own (%serve NAME --replace)",
        )
    if isinstance(targets, str):
        raise SpecError("compare() takes a list of targets.", then=f"compare([{targets!r}, …])")
    sides = list(targets or [])
    if len(sides) < 2:
        raise SpecError(
            "A comparison needs two sides or more.", then="`%compare A B`, or `--engines vllm,llamacpp --model M`"
        )
    if runs := _as_runs(sides):
        if prompt is not None or workload or rounds is not None or restart is not None or model:
            raise SpecError("Finished runs are compared as they are.", then="leave every other option out")
        return _of_runs(runs)
    _no_prompt_among(sides)
    with ExitStack() as held:
        found = []
        for side in sides:
            found.append(_side(side, model, api_key))
            held.callback(found[-1].close)
        if len({target.name for target in found}) < len(found):
            names = ", ".join(target.name for target in found)
            raise SpecError("One target stands twice in the comparison.", why=names)
        if isinstance(task, Prompt):
            return _answers(task, found)
        return _under_load(task, found, often, restart)


def _side(side: Any, model: str | None, api_key: str | None) -> Target:
    """A side that answers; a name that is no server's may have been meant as a run's id."""
    from llm_magics.api.benching import target_of

    try:
        return target_of(side, model, api_key)
    except NoServerError as error:
        runs = "" if "%llm runs" in error.then else "; `%llm runs` lists the runs"
        what = f"{error.what} Nor is there a run of that id."
        raise NoServerError(what, why=error.why, then=f"{error.then}{runs}") from None


def _no_prompt_among(sides: Sequence[Any]) -> None:
    """Text with blanks is nobody's name: it is a prompt that was written as in a notebook's body."""
    told = [side for side in sides if isinstance(side, str) and len(side.split()) > 1]
    if told:
        others = [str(side) for side in sides if side not in told]
        named = " ".join(others) if len(others) > 1 else "A B"
        raise SpecError(
            f"{told[0]!r} is no name of a server.",
            then=f'a prompt goes behind --prompt: `%compare {named} --prompt "…"`',
        )


def _rounds(rounds: Any, *, under_load: bool) -> int | None:
    if rounds is None or (rounds == "auto" and under_load):
        return None
    if not under_load:
        raise SpecError("rounds belong to a comparison under load.", then="add --load, or leave rounds out")
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
        raise SpecError(f"rounds: {rounds} - is auto or a whole number from 1.", then="write --rounds auto, or 3")
    return rounds


def _task(
    prompt: str | None,
    workload: Mapping[str, Any] | None,
    max_tokens: int,
    temperature: float,
    lines: Mapping[str, int] | None,
) -> Prompt | Workload:
    if prompt is None:
        from llm_magics.api.benching import priced

        work = priced(build(Workload, workload or {}, lines))
        if work.search is not None:
            raise SpecError(
                "A comparison sends the same loads to every side; a search chooses its own.",
                then="`%bench A`, `%bench B` with the search, and compare what they find",
            )
        return work
    if workload is not None:
        raise SpecError("A comparison takes a prompt or a workload, not both.")
    if not prompt.strip():
        raise SpecError("The prompt is empty.", then="write the prompt below %%compare, or a workload with --load")
    return Prompt(prompt, max_tokens, temperature)


def _answers(task: Prompt, targets: Sequence[Target]) -> Comparison:
    from llm_magics.load.answers import answers
    from llm_magics.results.comparison import Comparison
    from llm_magics.views.cards import AnswerCards
    from llm_magics.views.progress import live

    with live() as show:
        given = answers(
            {target.name: target.endpoint for target in targets},
            task.text,
            max_tokens=task.max_tokens,
            temperature=task.temperature,
            on_update=lambda so_far: show(AnswerCards(task.text, so_far)),
        )
    return Comparison.of_answers(task.text, given)


def _under_load(work: Workload, targets: Sequence[Target], rounds: int | None, restart: bool | None) -> Comparison:
    """Servers that are there: all the time, or (asked to, or on one GPU) each only for its turn."""
    from llm_magics.api import turns
    from llm_magics.api.rounds import in_rounds

    if restart or (restart is None and turns.sharing(targets)):
        with turns.alternating(targets) as sides:
            return in_rounds(sides, work, rounds)
    return in_rounds({each.name: partial(turns.there, each) for each in targets}, work, rounds)


def _engines(engines: Sequence[str], model: str | None, options: Mapping[str, Any]) -> list[Prepared]:
    """Every engine checked before the first one starts; under names of their own, to meet nobody else's server."""
    from llm_magics.api.preparing import prepare

    if len(set(engines)) < max(2, len(engines)):
        raise SpecError(
            "A comparison needs two engines or more, each once.",
            why=", ".join(engines),
            then="settings of one engine are compared as two servers: `%compare A B --load`",
        )
    mark = secrets.token_hex(2)
    return [
        prepare(
            build(
                ServerSpec,
                {"name": f"{engine}_{mark}", "engine": engine, "model": model or "tiny", "keep": "cell", **options},
            )
        )
        for engine in engines
    ]


def _in_turn(prepared: Sequence[Prepared], task: Prompt | Workload, rounds: int | None) -> Comparison:
    """Each engine alone on the machine: started for its turn and stopped after it."""
    from llm_magics.api.rounds import in_rounds
    from llm_magics.api.turns import started
    from llm_magics.load.answers import answers
    from llm_magics.results.comparison import Comparison

    if not isinstance(task, Prompt):
        return in_rounds({each.spec.engine: partial(started, each, greet=True) for each in prepared}, task, rounds)
    given: dict[str, Answer] = {}
    for each in prepared:
        label = each.spec.engine
        with started(each) as target:
            given |= answers(
                {label: target.endpoint}, task.text, max_tokens=task.max_tokens, temperature=task.temperature
            )
        if given[label].error == "cancelled":
            break
    return Comparison.of_answers(task.text, given)


def _as_runs(sides: Sequence[Any]) -> list[Run] | None:
    """The sides as finished runs, when all are; None when none is.

    A server's name wins over a run's id: ids hold digits after their `r`, and a server that is there is meant.
    """
    from llm_magics.api.stored_runs import load_run
    from llm_magics.results.exchange import ENDINGS
    from llm_magics.results.run import Run, is_id
    from llm_magics.results.run_rows import RunRow
    from llm_magics.runtime.registry import Registry

    registry = Registry()

    def read(side: Any) -> Run | None:
        if isinstance(side, Run):
            return side
        if isinstance(side, RunRow):
            return load_run(side.id)
        if not isinstance(side, str) or "://" in side or registry.get(side):
            return None
        return load_run(side) if side.endswith(ENDINGS) or is_id(side) else None

    found: list[Run | None] = [read(side) for side in sides]
    if not any(found):
        return None
    if missing := [str(side) for side, run in zip(sides, found, strict=True) if run is None]:
        raise SpecError(
            f"{missing[0]} is no finished run, the others are.", then="compare runs with runs, servers with servers"
        )
    return [run for run in found if run is not None]


def _of_runs(runs: Sequence[Run]) -> Comparison:
    from llm_magics.results.comparison import Comparison

    if twice := [run.id for place, run in enumerate(runs) if any(run.id == other.id for other in runs[:place])]:
        raise SpecError("One run stands twice in the comparison.", why=twice[0])
    by_label: dict[str, Run | list[Run]] = {}
    for run in runs:
        told = run.label, f"{run.label} ({run.header.get('source') or run.id})", f"{run.label} ({run.id})"
        by_label[next((label for label in told if label not in by_label), told[-1])] = run
    return Comparison.of_runs(by_label)
