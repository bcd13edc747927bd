"""A sweep over a server's options: each setting is started, measured and stopped, one after another.

**The server that the sweep is about** goes on running where it has no GPU: idle it takes memory, but no CPU. On GPUs
the settings need the memory that it holds, so it is stopped for the sweep and started again, with its own options,
when the sweep is over; both are said.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llm_magics.api import again
from llm_magics.errors import LLMMagicsError, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from llm_magics.api.preparing import Prepared
    from llm_magics.results.run import Run
    from llm_magics.results.sweep import Sweep
    from llm_magics.runtime.record import Record
    from llm_magics.spec import Workload
    from llm_magics.spec.sweep import Setting

_OWN = ("host", "port")  # of the server the sweep is about; the settings find their own


@dataclass
class _Found:
    """What a sweep has come to."""

    runs: dict[str, Run] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def swept(
    target: Any,
    sweep: Mapping[str, Any],
    work: Workload,
    *,
    engine: str | None = None,
    model: str | None = None,
    label: str | None = None,
    lines: Mapping[str, int] | None = None,
) -> Sweep:
    """Measure a workload under every setting of a sweep.

    Parameters
    ----------
    target
        Name of a server, whose options are those of every setting; or None with `engine`.
    sweep
        Option -> values, as in `spec.sweep.settings`.
    engine, model
        For no server: what is started.
    label
        Stands before each setting in the stored runs' names; the server's or the engine's name when left out.

    Raises
    ------
    SpecError
        For a wrong option or value, or when no setting can be started here; before anything starts.
    TargetError
        When there is no such server.
    LaunchError
        When no setting started.
    """
    from llm_magics import views  # noqa: F401 - views registers how a Sweep is drawn
    from llm_magics.results.sweep import Sweep
    from llm_magics.spec.sweep import settings
    from llm_magics.views.progress import live

    record = None if engine else _record(target)
    base = _options(record) if record else {"engine": engine, "model": model or "tiny"}
    chosen = settings(sweep, base, secrets.token_hex(2), lines)
    found = _Found()
    with live(), _room(record, found):  # one display for all
        prepared = _prepared(chosen, found)
        _each(prepared, work, label or (record.name if record else str(engine)), found)
    return Sweep(found.runs, {each.label: each.values for each in chosen}, failed=found.failed, notes=found.notes)


def _record(target: Any) -> Record:
    from llm_magics.runtime.registry import Registry
    from llm_magics.runtime.server import Server
    from llm_magics.runtime.unknown import no_server

    name = target.name if isinstance(target, Server) else target
    if not isinstance(name, str) or "://" in name:
        raise SpecError(
            f"{target!r} cannot be swept: its options are changed by starting it anew.",
            then="give a server's name, or --engine and --model",
        )
    registry = Registry()
    record = registry.get(name)
    if record is None:
        then = "start it with %serve, or sweep an engine: --engine llamacpp --model tiny"
        raise no_server(name, registry, then=then)
    return record


def _options(record: Record) -> dict[str, Any]:
    """The options of a server that its settings have too (errors as in `again.options`)."""
    then = "put them into this notebook's environment, or sweep --engine and --model"
    return {key: value for key, value in again.options(record, then).items() if key not in _OWN}


@contextmanager
def _room(record: Record | None, found: _Found) -> Iterator[None]:
    """The server whose GPUs the settings need is away meanwhile; another one goes on."""
    from llm_magics.api.preparing import prepare
    from llm_magics.runtime import gpus
    from llm_magics.runtime.gpu_meter import held_by

    if record is None or not record.alive:
        yield
        return
    if not held_by(record.name, record.gpus, gpus.gpus()):
        found.notes.append(f"{record.name} itself went on running: without a GPU it only takes memory while it is idle")
        yield
        return
    same = prepare(again.as_it_was(record, "sweep --engine and --model"), force=True)
    said = f"{record.name} held the GPUs: it was stopped for the sweep and started again"

    def failed(_: Prepared, error: BaseException) -> None:  # what was measured is worth more than the server
        nonlocal said
        why = getattr(error, "what", None) or f"{type(error).__name__} {error}".strip()
        said = f"{record.name} was stopped for the sweep and did not start again: {why}"

    with again.away([(record, same)], failed):
        yield
    found.notes.append(said)


def _prepared(chosen: list[Setting], found: _Found) -> list[tuple[str, Prepared]]:
    """Every setting checked before the first one starts; one that cannot be is left out and named."""
    from llm_magics.api.preparing import prepare

    ready, first = [], None
    for each in chosen:
        try:
            known = prepare(each.spec)
            known.command_line  # noqa: B018 - what the adapter itself refuses, too
            ready.append((each.label, known))
        except SpecError as error:
            first = first or error
            found.failed[each.label] = error.what
    if first is not None and not ready:
        raise first
    return ready


def _each(prepared: list[tuple[str, Prepared]], work: Workload, label: str, found: _Found) -> None:
    """Start, measure, stop, one after another; what goes wrong with one costs the others nothing."""
    last: LLMMagicsError | None = None
    salt = secrets.randbits(40)  # the same prompts for every setting
    for number, (setting, each) in enumerate(prepared, 1):
        try:
            run = _measured(each, work, f"{label} {setting}", f"setting {number} of {len(prepared)}: {setting}", salt)
        except LLMMagicsError as error:
            last = error
            found.failed[setting] = error.what
            continue
        except KeyboardInterrupt:
            if not found.runs:
                raise
            found.notes.append(f"interrupted at {setting}: the settings before it are whole")
            return
        found.runs[setting] = run
        if run.status == "cancelled":
            found.notes.append(f"interrupted at {setting}: what was measured until then is kept")
            return
    if last is not None and not found.runs:
        raise last


def _measured(prepared: Prepared, work: Workload, label: str, title: str, salt: int) -> Run:
    from llm_magics.api.benching import measured
    from llm_magics.api.searching import searched
    from llm_magics.api.turns import started

    with started(prepared) as target:
        if work.search is not None:
            return searched(target, work, label=label)
        return measured(target, work, label=label, title=title, salt=salt)
