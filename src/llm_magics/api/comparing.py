"""Side by side: answers to one prompt, load in interleaved rounds, or engines one after another on one machine."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_magics.errors import SpecError
from llm_magics.spec import ServerSpec, Workload
from llm_magics.spec.reading import build

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from llm_magics.api.serving import Prepared
    from llm_magics.api.targets import Target
    from llm_magics.results.comparison import Comparison
    from llm_magics.results.run import Run


@dataclass(frozen=True)
class Prompt:
    """One prompt for every target, and how it is answered."""

    text: str
    max_tokens: int = 128
    temperature: float = 0.0


def compare(
    targets: Sequence[Any] | None = None,
    *,
    prompt: str | None = None,
    workload: Mapping[str, Any] | None = None,
    engines: Sequence[str] | None = None,
    model: str | None = None,
    rounds: int = 3,
    max_tokens: int = 128,
    temperature: float = 0.0,
    lines: Mapping[str, int] | None = None,
    **options: Any,
) -> Comparison:
    """Put targets side by side: their answers to a prompt, or how they take a workload.

    Parameters
    ----------
    targets
        Servers, names or URLs; or finished runs (`Run`, run ids, result files), which are compared as they are.
    prompt
        Every target answers it, side by side.
    workload
        Options of `Workload`; measured on every target in interleaved rounds (A B, B A, …).
    engines
        Instead of targets: engines that are started one after another with `model` and `options`, measured, stopped.
    rounds
        How often each target is measured, for intervals that include what changes between runs; 1 for engines.
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

    if prompt is not None and workload is not None:
        raise SpecError("A comparison takes a prompt or a workload, not both.")
    task: Prompt | Workload
    if prompt is not None:
        if not prompt.strip():
            raise SpecError("The prompt is empty.", then="write the prompt below %%compare, or a workload with --load")
        task = Prompt(prompt, max_tokens, temperature)
    else:
        task = build(Workload, workload or {}, lines)
    if rounds < 1:
        raise SpecError("rounds must be at least 1.")
    if engines:
        if targets:
            raise SpecError("A comparison takes targets or --engines, not both.")
        return _in_turn([_prepared(engine, model, options) for engine in engines], task)
    sides = list(targets or [])
    if len(sides) < 2:
        raise SpecError(
            "A comparison needs two sides or more.", then="`%compare A B`, or `--engines vllm,llamacpp --model M`"
        )
    if runs := _as_runs(sides):
        if prompt is not None or workload:
            raise SpecError("Finished runs are compared as they are.", then="leave the prompt or workload out")
        return _of_runs(runs)
    from llm_magics.api.benching import _target

    found = [_target(side, None, None) for side in sides]
    if len({target.name for target in found}) < len(found):
        raise SpecError("One target stands twice in the comparison.", why=", ".join(target.name for target in found))
    if isinstance(task, Prompt):
        return _answers(task, found)
    return _interleaved(task, found, rounds)


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


def _interleaved(work: Workload, targets: Sequence[Target], rounds: int) -> Comparison:
    """A B, B A, A B …: what drifts on the machine meets every side alike."""
    from llm_magics.api.benching import measured
    from llm_magics.results.comparison import Comparison
    from llm_magics.views.progress import live

    measured_runs: dict[str, list[Run]] = {target.name: [] for target in targets}
    salt = secrets.randbits(40)
    with live():  # one display for all rounds
        for number in range(rounds):
            # Each round has its own prompts and arrivals, the same for every side: no cache knows the last round's.
            once = work.model_copy(update={"seed": work.seed + number})
            for target in targets if number % 2 == 0 else reversed(targets):
                run = measured(target, once, title=f"round {number + 1} of {rounds}", salt=salt + number)
                measured_runs[target.name].append(run)
                if run.partial:
                    return Comparison.of_runs({name: found for name, found in measured_runs.items() if found})
    return Comparison.of_runs(measured_runs)


def _prepared(engine: str, model: str | None, options: Mapping[str, Any]) -> Prepared:
    from llm_magics.api.serving import prepare

    values = {"name": f"compare_{engine}", "engine": engine, "model": model or "tiny", "keep": "cell", **options}
    return prepare(build(ServerSpec, values))


def _in_turn(prepared: Sequence[Prepared], task: Prompt | Workload) -> Comparison:
    """Each engine alone on the machine: started, measured, stopped; all were checked before the first one starts."""
    from llm_magics.api.benching import measured
    from llm_magics.load.answers import answers
    from llm_magics.results.comparison import Comparison

    if isinstance(task, Prompt):
        given = {}
        for target in _each(prepared):
            label = target.provenance["engine"]
            found = answers(
                {label: target.endpoint}, task.text, max_tokens=task.max_tokens, temperature=task.temperature
            )
            given.update(found)
        return Comparison.of_answers(task.text, given)
    runs: dict[str, list[Run]] = {}
    salt = secrets.randbits(40)
    for target in _each(prepared):
        label = target.provenance["engine"]
        runs[label] = [measured(target, task, label=label, salt=salt)]
        if runs[label][0].partial:
            break
    return Comparison.of_runs(runs)


def _each(prepared: Sequence[Prepared]) -> Iterator[Target]:
    from llm_magics.api.serving import launched
    from llm_magics.api.targets import resolve

    for each in prepared:
        server = launched(each, replace=True)
        try:
            yield resolve(server)
        finally:
            server.stop()


def _as_runs(sides: Sequence[Any]) -> list[Run] | None:
    """The sides as finished runs, when all are; None when none is.

    A server's name wins over a run's id: ids hold digits after their `r`, and a server that is there is meant.
    """
    from llm_magics.api.benching import load_run
    from llm_magics.results.run import Run, is_id
    from llm_magics.runtime.registry import Registry

    registry = Registry()

    def read(side: Any) -> Run | None:
        if isinstance(side, Run):
            return side
        if not isinstance(side, str) or "://" in side or registry.get(side):
            return None
        return load_run(side) if side.endswith(".json") or is_id(side) else None

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

    by_label: dict[str, Run | list[Run]] = {}
    for run in runs:
        label = run.label if run.label not in by_label else f"{run.label} ({run.id})"
        by_label[label] = run
    return Comparison.of_runs(by_label)
