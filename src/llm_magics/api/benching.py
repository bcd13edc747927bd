"""From a workload to a stored Run: check, measure, store; what was measured is never lost on the way."""

from __future__ import annotations

import os
import platform
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

from llm_magics.errors import SpecError
from llm_magics.spec import Workload
from llm_magics.spec.reading import build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from llm_magics.api.targets import Target
    from llm_magics.load.endpoint import Endpoint
    from llm_magics.load.progress import Progress
    from llm_magics.results.run import Run
    from llm_magics.results.sweep import Sweep


@overload
def bench(target: Any, *, label: str | None = ..., model: str | None = ..., api_key: str | None = ...,
          lines: Mapping[str, int] | None = ..., mlflow: str | bool | None = ..., on: str | None = ...,
          **workload: Any) -> Run: ...  # fmt: skip


@overload
def bench(target: Any = ..., *, sweep: Mapping[str, Any], engine: str | None = ..., label: str | None = ...,
          model: str | None = ..., api_key: str | None = ..., lines: Mapping[str, int] | None = ...,
          mlflow: str | bool | None = ..., on: str | None = ..., **workload: Any) -> Sweep: ...  # fmt: skip


def bench(
    target: Any = None,
    *,
    sweep: Mapping[str, Any] | None = None,
    engine: str | None = None,
    label: str | None = None,
    model: str | None = None,
    api_key: str | None = None,
    lines: Mapping[str, int] | None = None,
    mlflow: str | bool | None = None,
    on: str | None = None,
    **workload: Any,
) -> Run | Sweep:
    """Load-test a target and return what was measured.

    Interrupting keeps the part that was measured, labelled partial. The run is stored (`runs()` lists it).

    Parameters
    ----------
    target
        Name of a server, a `Server`, or the URL of an OpenAI-compatible endpoint.
    sweep
        Options of the server and their values (`{"max_num_seqs": [8, 16, 32]}`): each combination is started, measured
        and stopped, and a `Sweep` returned.
    engine
        With a sweep, instead of a target: what is started, with `model`.
    label
        What tables and comparisons call the run; the target's name when left out.
    model, api_key
        For a URL: which of its models, and its key (see `targets.resolve`).
    lines
        Line of the cell on which each option stands, for error messages.
    mlflow
        Log what was measured to MLflow too: the experiment's name, or True for the usual one.
    on
        Where the load is made: `ray` or `ray://HOST:PORT` for the nodes of a cluster; here when left out.
    workload
        Options of `Workload`: input_tokens, output_tokens, rate or concurrency, requests or duration, slo, …

    Raises
    ------
    SpecError
        For a wrong workload, before anything is sent.
    TargetError
        When the target does not answer.
    """
    if on is not None:
        workload["workers_on"] = on
    if mlflow is not None and mlflow is not False:
        from llm_magics.api.tracking import tracked

        def benched() -> Run | Sweep:
            more: dict[str, Any] = {"sweep": sweep, "engine": engine, "label": label, "model": model}
            found: Run | Sweep = bench(target, **more, api_key=api_key, lines=lines, **workload)
            return found

        return tracked(benched, mlflow)
    work = priced(build(Workload, workload, lines))
    if sweep is not None:
        from llm_magics.api.sweeping import swept

        if api_key is not None or (model is not None and engine is None):
            raise SpecError("A sweep starts servers of its own.", then="model goes with --engine; leave api_key out")
        if engine is not None and target is not None:
            raise SpecError("A sweep is about a server or an engine, not both.", then=f"leave out {target} or --engine")
        return swept(target, sweep, work, engine=engine, model=model, label=label, lines=lines)
    if engine is not None:
        raise SpecError("engine goes with a sweep.", then="--sweep max_num_seqs=8,16; or %serve it, then %bench it")
    if target is None:
        raise SpecError("Bench what?", then="give a server's name or the URL of an endpoint")
    found = target_of(target, model, api_key)
    try:
        if work.search is not None:
            from llm_magics.api.searching import searched

            return searched(found, work, label=label)
        return measured(found, work, label=label)
    finally:
        found.close()


def priced(work: Workload) -> Workload:
    """The workload with the price that the environment names (`LLM_MAGICS_PRICE`), where it has none of its own.

    Raises
    ------
    SpecError
        When the variable holds no price.
    """
    from llm_magics.spec.reading import read_value

    said = os.environ.get("LLM_MAGICS_PRICE", "")
    if work.price is not None or not said.strip():
        return work
    price = build(Workload, {"price": read_value(said)}).price
    return work.model_copy(update={"price": price})


def measured(
    target: Target,
    work: Workload,
    *,
    label: str | None = None,
    title: str = "",
    salt: int | None = None,
    played: str = "",
) -> Run:
    """Measure a checked workload against a checked target, store the run, return it ready to be shown.

    `title` stands above the progress; `salt` decides the words of generated prompts (see `load.measure`); `played` says
    of what the run is a part, where it is a comparison's round.
    """
    from llm_magics import views  # noqa: F401 - views registers how a Run is drawn
    from llm_magics.api.stored_runs import store
    from llm_magics.views.bench_progress import BenchProgress
    from llm_magics.views.progress import live

    header = head(target, work, label) | ({"round": played} if played else {})
    with live() as show, watched(target) as (endpoint, seen):
        run, path = spooled(
            target, endpoint, work, {**header, **seen}, salt=salt,
            on_progress=lambda progress: show(BenchProgress(target.name, progress, title=title)),
        )  # fmt: skip
    store(run, [path])
    return run


def head(target: Target, work: Workload, label: str | None = None) -> dict[str, Any]:
    """A new run's provenance."""
    from llm_magics.results.run import new_id

    return {
        "run": new_id(), "name": target.name, "label": label or target.name, "started": time.time(),
        **target.provenance, **_machine(), "workload": work.model_dump(mode="json"),
    }  # fmt: skip


def spooled(
    target: Target,
    endpoint: Endpoint,
    work: Workload,
    header: Mapping[str, Any],
    *,
    on_progress: Callable[[Progress], None],
    salt: int | None = None,
    cancel: threading.Event | None = None,
) -> tuple[Run, Path]:
    """Measure, and read what was written down meanwhile; the run and its spool, which is the caller's to take away."""
    from llm_magics import paths
    from llm_magics.api import ended
    from llm_magics.load.measure import measure
    from llm_magics.results import spool

    path = paths.spool_dir() / f"{header['run']}.jsonl"
    over = cancel or threading.Event()

    def seen(progress: Progress) -> None:
        on_progress(progress)
        if progress.errors and target.ended is not None and target.ended():  # nobody is there to answer the rest
            over.set()

    measure(endpoint, work, path, header=dict(header), salt=salt, on_progress=seen, cancel=over)
    run = spool.read(path)
    ended.judge(run, target, endpoint)
    return run, path


@contextmanager
def watched(target: Target) -> Iterator[tuple[Endpoint, dict[str, Any]]]:
    """A target's endpoint with the eyes on its server open, and what the run's header says of them."""
    if target.watch is None:
        yield target.endpoint, {"watched": False}
        return
    with target.watch as watch:
        seen = {"watched": True, "gpus_used": watch.gpus, "exports": watch.exports}
        yield replace(target.endpoint, sample=watch.read), seen


def target_of(target: Any, model: str | None, api_key: str | None) -> Target:
    """A target that answers (errors as in `bench`)."""
    from llm_magics.api.targets import resolve
    from llm_magics.load.probing import probe

    found = resolve(target, model=model, api_key=api_key)
    try:
        probe(found.endpoint)
    except BaseException:
        found.close()
        raise
    return found


def _machine() -> dict[str, Any]:
    from llm_magics import __version__
    from llm_magics.runtime.gpus import gpus

    present = gpus()
    return {
        "llm_magics": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpu": ", ".join(gpu.name for gpu in present) or None,
        "driver": present[0].driver if present else None,
    }
