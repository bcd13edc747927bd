"""From a spec to a running server: check, find the engine, launch, and turn the outcome into a Server or an error."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from llm_magics.api.learning import served
from llm_magics.errors import LaunchError, LLMMagicsError, SpecError
from llm_magics.runtime import outcomes
from llm_magics.spec import ServerSpec
from llm_magics.spec.reading import build

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_magics.cluster.placement import Placement
    from llm_magics.engines.base import Command, Engine, Executable
    from llm_magics.runtime.server import Server

_ANY_PORT = 58999  # stands for the free port that a launch will choose, where a command is only shown


@dataclass(frozen=True)
class Prepared:
    """A spec that passed every check, with all that is needed to start it."""

    spec: ServerSpec
    engine: Engine
    executable: Executable
    model: str
    gpus: tuple[int, ...]

    @cached_property
    def placement(self) -> Placement:
        """Where on the cluster it will be; looked for when it is first asked, for that takes seconds.

        Raises
        ------
        SpecError
            When the cluster does not answer, or no node can run it.
        """
        from llm_magics.api.placing import placed

        return placed(self.engine, self.spec, self.model)

    @property
    def version(self) -> str:
        """The engine's version, where it will run."""
        return self.placement.version if self.spec.far else self.executable.version

    def command(self, port: int) -> Command:
        """The process to start on a port."""
        from llm_magics.engines import containers, on_ray
        from llm_magics.engines.base import Place

        if self.spec.far:
            return on_ray.command(self.engine, self.spec, self.model, port, self.placement)
        if self.spec.on != "local":
            return containers.command(self.engine, self.spec, self.model, port, self.gpus)
        place = Place(self.executable, self.spec.host, port, self.model, self.gpus)
        return self.engine.command(place, self.spec)

    @property
    def command_line(self) -> str:
        """The command as one types it in a shell, without secrets; PORT where a free port will be chosen."""
        from llm_magics.runtime.environment import secrets_in
        from llm_magics.runtime.shown_spec import shown_command

        command = self.command(self.spec.port or _ANY_PORT)
        files = [f"cat > {shlex.quote(path)} <<'END'\n{text}END\n" for path, text in command.files.items()]
        line = shown_command(command, command.env, secrets_in({**os.environ, **self.spec.env}))
        shown = "".join([*files, line])
        return shown if self.spec.port else shown.replace(str(_ANY_PORT), "PORT")

    @property
    def served_model(self) -> str:
        """What a request puts in `model`."""
        from llm_magics.engines import containers

        if self.spec.on != "local" and not self.spec.far:
            return containers.served_model(self.engine, self.spec, self.model)
        return self.engine.served_name(self.spec, self.model)


def prepare(spec: ServerSpec, *, force: bool = False) -> Prepared:
    """Everything that can be found wrong before a process exists; `force` leaves out the check of memory.

    Raises
    ------
    SpecError
        Unknown engine or option, a model that is not there or does not fit, an engine that is not installed or needs
        a GPU.
    """
    from llm_magics import engines
    from llm_magics.engines import models

    engine = engines.get(spec.engine)
    engine.said(spec)  # first: what comes next may ask the installed engine, which imports all of it
    model, spec = models.resolve(engine, spec), models.beside(spec)
    gpus = gpus_of(spec, engine)
    prepared = Prepared(spec, engine, executable_of(engine, spec), model, gpus)
    if not force and not spec.far:  # what is free here says nothing of a node
        from llm_magics.api.memory_check import check

        check(prepared)
    return prepared


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
        Stop a server of this name that has another spec, and start this one.
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


def launched(prepared: Prepared, *, wait: bool = True, replace: bool = False) -> Server:
    """Launch what was prepared, with a card that follows it, and return the Server (see `serve` for the errors)."""
    from llm_magics import engines
    from llm_magics.engines import environments
    from llm_magics.engines.containers import prepare_mounts
    from llm_magics.runtime import containers
    from llm_magics.runtime.launch import launch
    from llm_magics.runtime.owner import current_owner
    from llm_magics.runtime.registry import Registry
    from llm_magics.runtime.server import Server
    from llm_magics.runtime.starting import LaunchRequest
    from llm_magics.views.cards import ServerCard
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
    )
    with live() as show:
        outcome = launch(
            request,
            prepared.command,
            wait=wait,
            replace=replace,
            on_progress=lambda record, line: show(ServerCard(record, line=line)),
        )
        match outcome:
            case outcomes.Started(record) | outcomes.Reused(record):
                show(ServerCard(record, reused=isinstance(outcome, outcomes.Reused)))
                if record.state == "ready":
                    served(record)
                if isinstance(outcome, outcomes.Started) and (spec.python or spec.bin) and not spec.far:
                    environments.remember(engine, prepared.executable)
                return Server(record.name, reused=isinstance(outcome, outcomes.Reused))
    raise failure(spec, engine, outcome)


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


def servers() -> list[Server]:
    """Every server the registry knows on this machine, running ones first."""
    from llm_magics.runtime.registry import Registry
    from llm_magics.runtime.server import Server

    records = sorted(Registry().list(), key=lambda record: (not record.alive, record.created))
    return [Server(record.name) for record in records]


def stop(name: str | None = None, *, every: bool = False) -> list[str]:
    """Stop one server, or every one; returns the names of those that ran.

    Raises
    ------
    SpecError
        When no server has that name.
    LLMMagicsError
        When one could not be stopped; the others are, all the same.
    """
    from llm_magics.runtime.registry import Registry
    from llm_magics.runtime.stop import end
    from llm_magics.spec.reading import nearest

    alive = {record.name: record for record in Registry().list() if record.alive or record.state == "lost"}
    if not every:
        if name is None:
            raise SpecError("Which server is to be stopped?", then="`%llm stop NAME` or `%llm stop --all`")
        if name not in alive:
            running = f"running: {', '.join(alive)}" if alive else "no server is running"
            raise SpecError(
                f"There is no server {name!r} to stop{nearest(name, list(alive))}.", why=running, then="%llm list"
            )
        alive = {name: alive[name]}
    failed: list[LLMMagicsError] = []
    for record in alive.values():
        try:
            end(record)
        except LLMMagicsError as error:
            failed.append(error)
    if len(failed) > 1:
        raise LLMMagicsError(
            f"{len(failed)} of {len(alive)} servers are in trouble.",
            why="\n".join(f"{error.what} {error.why}".rstrip() for error in failed),
            then="%llm list",
        )
    if failed:
        raise failed[0]
    return list(alive)


def executable_of(engine: Engine, spec: ServerSpec) -> Executable:
    """Where the engine is, here or in an image, with the options of its version where there is reason to ask."""
    from llm_magics.engines import environments, flags_of, images, on_ray
    from llm_magics.engines.base import Executable
    from llm_magics.views.progress import live
    from llm_magics.views.waiting import WaitingCard

    if spec.far:
        on_ray.check(spec)
        return Executable("", origin="a node of the cluster")  # which one, `Prepared.placement` finds out
    if spec.on != "local":
        if named := "python" if spec.python else "bin" if spec.bin else "":
            raise SpecError(f"{named} names a place on this machine.", then=f"leave out {named}, or on: {spec.on}")
        return images.executable(engine, spec)
    if spec.image:
        raise SpecError("image names a container's image.", then="add on: docker, podman or apptainer")
    executable = environments.locate(engine, python=spec.python, bin=spec.bin)
    if executable is None:
        container = environments.by_tool("; or add on: docker") if engine.image else ""
        install = "name its program"
        if (brings := environments.brings(engine)).startswith("%llm"):
            install = f"`{brings}` makes an environment for it; or name one that has it: --python PATH"
        elif engine.install.modules:
            install = "name a Python that has it: --python PATH"
        raise SpecError(
            f"{engine.title} is not installed where this notebook can find it.",
            why=environments.by_tool(engine.install.hint),
            then=f"{install}{', --bin PATH' if engine.install.binary else ''}{container}",
        )
    what = f"asking {engine.title} {executable.version} for its options (its own --help; once for an installation)"
    with live() as show:
        return flags_of.informed(engine, executable, spec, lambda seconds: show(WaitingCard(what, seconds)))


def gpus_of(spec: ServerSpec, engine: Engine) -> tuple[int, ...]:
    """The numbers of the GPUs that it will be on; none where none was asked for."""
    from llm_magics.runtime import gpus

    if spec.far:
        return ()  # Ray gives them out
    present = gpus.gpus()
    if spec.gpus in (None, "none"):
        if engine.needs_gpu and not present:
            raise SpecError(
                f"{engine.title} needs a GPU and this machine has none.", then="%llm engines shows what runs here"
            )
        return ()
    if not present:
        raise SpecError(
            "GPUs were asked for, and this machine has none that can be seen.", then="leave gpus out; %llm doctor"
        )
    if not isinstance(spec.gpus, list):
        wanted = (spec.tensor_parallel_size or 1) * (spec.pipeline_parallel_size or 1) * (spec.data_parallel_size or 1)
        free = gpus.free(wanted)
        if len(free) < wanted:
            holders = {process.server or f"process {process.pid}" for gpu in present for process in gpu.processes}
            raise SpecError(
                f"{wanted} free GPU{'s are' if wanted > 1 else ' is'} needed, {len(free)} of {len(present)} are free.",
                why=f"the others are held by {', '.join(sorted(holders)) or 'others'}",
                then="%llm gpus shows who holds them; gpus: [0] takes one all the same",
            )
        return tuple(gpu.index for gpu in free)
    known = [gpu.index for gpu in present]
    if missing := [index for index in spec.gpus if index not in known]:
        raise SpecError(
            f"There is no GPU {missing[0]}.", why=f"GPUs here: {', '.join(map(str, known))}", then="%llm gpus"
        )
    return tuple(spec.gpus)
