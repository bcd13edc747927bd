"""From a spec to a running server: prepare, launch, and turn the outcome into a Server or an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_magics.api.learning import served
from llm_magics.api.preparing import Prepared, prepare
from llm_magics.errors import LaunchError, LLMMagicsError, SpecError
from llm_magics.runtime import outcomes
from llm_magics.runtime.elsewhere import WHY
from llm_magics.spec import ServerSpec
from llm_magics.spec.reading import build

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_magics.engines.base import Engine
    from llm_magics.runtime.record import Record
    from llm_magics.runtime.server import Server


def serve(
    name: str,
    *,
    wait: bool = True,
    replace: bool = False,
    force: bool = False,
    lines: Mapping[str, int] | None = None,
    **options: Any,
) -> Server:
    """Start a server, or take the one that already runs under this name and spec.

    Parameters
    ----------
    name
        A Python name; other notebooks and the terminal find the server by it.
    wait
        Return when the server is ready; else at once.
    replace
        Stop a server of this name that has another spec, and start this one; one with this spec is taken as it is.
    force
        Start even what the GPUs' memory is too small for, as far as can be told.
    lines
        Line of the cell on which each option stands, for error messages.
    options
        Options of `ServerSpec`: engine, model, max_model_len, …; `engine="llamacpp", model="tiny"` when left out.

    Raises
    ------
    SpecError
        When something is wrong before anything was started.
    LaunchError
        When the server did not become ready; its `outcome` says how. Nothing is left running then.
    """
    spec = build(ServerSpec, {"name": name, **options}, lines)
    return launched(prepare(spec, force=force), wait=wait, replace=replace)


def dry_run(name: str, *, force: bool = False, lines: Mapping[str, int] | None = None, **options: Any) -> str:
    """The exact command `serve` would start, as one types it in a shell; starts nothing (errors as in `serve`).

    An engine or a GPU that is missing here is no error: a comment above the command says so.
    """
    from llm_magics.api.supposing import shown

    return shown(build(ServerSpec, {"name": name, **options}, lines), force=force)


def launched(prepared: Prepared, *, wait: bool = True, replace: bool = False, again: Record | None = None) -> Server:
    """Launch what was prepared, with a card that follows it, and return the Server (see `serve` for the errors).

    `again` is the server that it is once more, where that was away: it stays whose it was.
    """
    from llm_magics import engines
    from llm_magics.engines import environments
    from llm_magics.engines.containers import prepare_mounts
    from llm_magics.runtime import containers
    from llm_magics.runtime.launch import launch
    from llm_magics.runtime.owner import current_owner
    from llm_magics.runtime.registry import Registry
    from llm_magics.runtime.server import Server
    from llm_magics.runtime.starting import LaunchRequest
    from llm_magics.runtime.stop import end
    from llm_magics.views.cards import ServerCard, planned
    from llm_magics.views.progress import live

    spec, engine = prepared.spec, prepared.engine
    if spec.on != "local" and not spec.far:
        containers.check(spec.on)
        prepare_mounts(prepared.model)
    # A server that runs is reused, or refused: no place is looked for then, and it may hold the only one.
    runs = spec.far and (record := Registry().get(spec.name)) is not None and record.alive
    version = "" if runs else prepared.version
    request = LaunchRequest(
        spec=spec,
        engine=engine,
        reference=engines.reference(engine.key),
        version=version,
        model=spec.model,
        served_model=prepared.served_model,
        gpus=list(prepared.gpus),
        owner=current_owner(),
        again=again,
    )
    with live() as show:
        outcome = launch(
            request,
            prepared.command,
            wait=wait,
            replace=replace,
            on_progress=lambda record, line: show(ServerCard(record, line=line)),
        )
        if not isinstance(outcome, (outcomes.Started, outcomes.Reused)):
            raise failure(spec, engine, outcome)
        record, new = outcome.record, isinstance(outcome, outcomes.Started)
        lived = planned(outcome.before) if isinstance(outcome, outcomes.Reused) and outcome.before else ""
        try:
            show(ServerCard(record, reused=not new, lived=lived, left=not wait))
            if record.state == "ready":
                served(record)
            if new and (spec.python or spec.bin) and not spec.far:
                environments.remember(engine, prepared.executable)
        except BaseException:  # an interrupt, mostly: nobody would know of the server
            if new:
                end(record)
            raise
        return Server(record.name, reused=not new, lived=lived)


def _value(value: Any) -> str:
    """An option's value in a difference; one that was not given is the engine's own."""
    return "the default" if value is None else repr(value)


def failure(spec: ServerSpec, engine: Engine, outcome: outcomes.Outcome) -> LaunchError:
    """An outcome that is no running server, as the error a person reads."""
    name, title = spec.name, engine.title
    what, why, then = f"{name} did not start.", "", f"%llm logs {name}"
    match outcome:
        case outcomes.Differs(_, differences):
            what = f"{name} is running with another spec."
            why = "\n".join(
                f"{key}: {_value(theirs)} runs, {_value(ours)} is asked" for key, (theirs, ours) in differences.items()
            )
            then = f"add --replace to stop it and start this one, choose another name, or `%llm stop {name}`"
        case outcomes.Elsewhere(record):
            what, why = f"A server {name} runs on {record.host} already.", WHY
            then = f"choose another name, or stop it there: llm-magics stop {name}"
        case outcomes.Failed(exit_, log, diagnosis):
            what = f"{title} ended before it was ready (exit status {exit_})."
            why = "\n".join(log[-8:])
            if diagnosis:
                what = f"{title} did not start: {diagnosis['cause']}."
                why, then = diagnosis["line"], f"{diagnosis['remedy']}; the whole log: %llm logs {name}"
        case outcomes.TimedOut(seconds, stage, log):
            what = f"{title} was not ready after {seconds:g} s (last seen: {stage or 'starting'}) and was stopped."
            why, then = "\n".join(log[-4:]), f"give it longer with --timeout {2 * seconds:g}s; %llm logs {name}"
        case outcomes.PortBusy(port, holder):
            what, why = f"Port {port} is taken.", holder
            then = "leave port out so that a free one is chosen"
        case outcomes.Stopped(by):
            what, why = f"{name} was stopped while it was starting.", by
    return LaunchError(what, why=why, then=then, outcome=outcome)


def servers(*, mine: bool = False) -> list[Server]:
    """The servers that the registry knows on this machine, running ones first; `mine`: as in `stop`."""
    from llm_magics.runtime.owner import only_mine
    from llm_magics.runtime.registry import Registry
    from llm_magics.runtime.server import Server

    records = sorted(Registry().list(), key=lambda record: (not record.alive, record.created))
    return [Server(record.name) for record in records if not mine or only_mine(record)]


def stop(name: str | None = None, *, every: bool = False, mine: bool = False) -> list[str]:
    """Stop one server, or several; returns the names of those that ran.

    Parameters
    ----------
    every
        All of this machine, whoever started them.
    mine
        Those that this notebook or script started, or the kernel before a restart, and nobody else uses.

    Raises
    ------
    SpecError
        When no server has that name, or it is not said which are meant: a name, `every` or `mine`, and one only.
    LLMMagicsError
        When that one has ended already or runs on another host, or one could not be stopped; the others are, all the
        same.
    """
    from llm_magics.runtime.stop import end

    meant = _meant(name, every=every, mine=mine)
    failed: list[LLMMagicsError] = []
    for record in meant:
        try:
            end(record)
        except LLMMagicsError as error:
            failed.append(error)
    if len(failed) > 1:
        raise LLMMagicsError(
            f"{len(failed)} of {len(meant)} servers are in trouble.",
            why="\n".join(f"{error.what} {error.why}".rstrip() for error in failed),
            then="%llm list",
        )
    if failed:
        raise failed[0]
    return [record.name for record in meant]


def _meant(name: str | None, *, every: bool, mine: bool) -> list[Record]:
    """The records of the servers that `stop` is to stop; errors as there."""
    from llm_magics.runtime.owner import only_mine
    from llm_magics.runtime.registry import Registry
    from llm_magics.runtime.unknown import no_server

    if every and mine:
        raise SpecError("Is every server to be stopped, or this notebook's own?", then="every=True or mine=True")
    if name is not None and (every or mine):
        others, option = ("every server", "--all") if every else ("this notebook's own", "--mine")
        raise SpecError(f"Is {name} to be stopped, or {others}?", then=f"`%llm stop {name}` or `%llm stop {option}`")
    registry = Registry()
    alive = [record for record in registry.list() if record.alive or record.state == "lost"]
    if every or mine:
        return [record for record in alive if every or only_mine(record)]
    if name is None:
        raise SpecError("Which server is to be stopped?", then="its name, every=True or mine=True")
    if found := [record for record in alive if record.name == name]:
        return found
    if (record := registry.get(name)) is None:
        raise no_server(name, registry)
    if record.state != "elsewhere":
        raise LLMMagicsError(f"{name} is {record.state} already.", then=f"`%llm dismiss {name}` forgets it")
    return [record]  # why it cannot be stopped is said where that is tried
