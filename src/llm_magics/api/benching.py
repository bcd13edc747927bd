"""From a workload to a stored Run: check, measure, store; what was measured is never lost on the way."""

from __future__ import annotations

import os
import platform
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

from llm_magics.errors import SpecError, StoreError
from llm_magics.spec import Workload
from llm_magics.spec.reading import build

_LAST_WORD = 15.0  # s that a server which no longer listens has to say how it ended: its workers may linger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
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
    try:
        why = _server_ended(target, endpoint, run)
    except KeyboardInterrupt:  # whoever waits for its word no longer has what was measured, as during the load itself
        why = None
        run.status = "cancelled" if run.status == "complete" else run.status
    if why:
        run.header["server_ended"] = why
        run.status = "complete" if run.status == "complete" and not _ends_unanswered(run) else "failed"
    return run, path


def _server_ended(target: Target, endpoint: Endpoint, run: Run) -> str | None:
    """Why the server ended, where it did.

    Of a server that was killed, hundreds of requests are refused before its supervisor has cleared up and said how it
    ended: where the last ones had no answer and nobody listens any more, its word is waited for.
    """
    if target.ended is None:
        return None
    until = time.monotonic() + _LAST_WORD
    while not (why := target.ended()):
        if not _ends_unanswered(run) or time.monotonic() > until or _listens(endpoint):
            return None
        time.sleep(0.05)
    return why


def _ends_unanswered(run: Run) -> bool:
    """Whether the request that ended last had no answer, not even a refusal."""
    import numpy as np

    from llm_magics.results.columns import CANCELLED, ERROR

    requests = run.columns.take(run.columns.status != CANCELLED)
    if not len(requests):
        return False
    last = int(np.argmax(np.nan_to_num(requests.done, nan=-1.0)))
    return bool(requests.status[last] == ERROR and requests.http_status[last] < 400)


def _listens(endpoint: Endpoint) -> bool:
    where = endpoint.address
    try:
        with socket.create_connection((where.host, where.port), timeout=1.0):
            return True
    except OSError:
        return False


@contextmanager
def watched(target: Target) -> Iterator[tuple[Endpoint, dict[str, Any]]]:
    """A target's endpoint with the eyes on its server open, and what the run's header says of them."""
    if target.watch is None:
        yield target.endpoint, {"watched": False}
        return
    with target.watch as watch:
        seen = {"watched": True, "gpus_used": watch.gpus, "exports": watch.exports}
        yield replace(target.endpoint, sample=watch.read), seen


def runs(limit: int = 20) -> list[Any]:
    """The newest stored runs as rows (id, name, engine, started, headline figures); recovers interrupted ones."""
    from llm_magics.results.store import RunStore

    store = RunStore()
    store.recover()
    return store.list(limit)


def load_run(reference: str) -> Run:
    """A run by its id (or the start of it), or from a file (see `exchange.read`).

    Raises
    ------
    SpecError
        When there is no such run or file.
    """
    from pathlib import Path

    from llm_magics import views  # noqa: F401 - views registers how a Run is drawn
    from llm_magics.results import exchange
    from llm_magics.results.store import RunStore

    file = Path(reference).expanduser()
    if file.suffix in exchange.ENDINGS:
        if not file.is_file():
            raise SpecError(f"There is no file {reference}.")
        return exchange.read(file)
    try:
        return RunStore().get(reference)
    except KeyError as error:
        several = error.args[1:]
        what = f"{reference!r} is the start of several runs." if several else f"There is no run {reference!r}."
        raise SpecError(what, why=", ".join(several), then="`%llm runs` lists them") from None


def store(run: Run, spools: Sequence[Path]) -> None:
    """Keep a run in the store; the spools that it was written to go when that is done."""
    from llm_magics.results.store import RunStore

    try:
        RunStore().save(run)
    except StoreError as error:
        run.flags.append(f"not stored: {error.what} The measurement is in {', '.join(map(str, spools))}.")
        return
    for path in spools:
        path.unlink(missing_ok=True)


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
