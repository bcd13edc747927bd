"""A spec made ready: everything that can be found wrong before a process exists, and where it would run.

`prepare` answers with a `Prepared`, which holds the engine, its place, the model and the GPUs.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.cluster.placement import Placement
    from llm_magics.engines.base import Command, Engine, Executable
    from llm_magics.spec import ServerSpec

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
        said = "on: docker" in engine.install.hint
        container = environments.by_tool("; or add on: docker") if engine.image and not said else ""
        install = "name its program"
        if (brings := environments.brings(engine)).startswith("%llm"):
            install = f"`{brings}` makes an environment for it; or name one that has it: --python PATH"
        elif engine.install.modules:
            install = "name a Python that has it: --python PATH"
        raise SpecError(
            f"{engine.title} is not installed where it is looked for.",
            why=environments.by_hand(engine),
            then=f"{install}{', --bin PATH' if engine.install.binary else ''}{container}",
        )
    what = f"asking {engine.title} {executable.version} for its options (its own --help; once for an installation)"
    with live() as show:
        return flags_of.informed(engine, executable, spec, lambda seconds: show(WaitingCard(what, seconds)))


def gpus_of(spec: ServerSpec, engine: Engine) -> tuple[int, ...]:
    """The numbers of the GPUs that it will be on; none where none was asked for.

    Raises
    ------
    SpecError
        When the engine needs a GPU, or some were asked for, and there are none, not these, or too few that are free.
    """
    from llm_magics.advice import launch_room
    from llm_magics.runtime import gpus
    from llm_magics.runtime.registry import Registry

    if spec.far:
        return ()  # Ray gives them out
    present = gpus.gpus()
    if spec.gpus in (None, "none"):
        if engine.needs_gpu and not present:
            raise SpecError(
                f"{engine.title} needs a GPU and this machine has none.",
                why="NVML, which nvidia-smi asks too, shows this process none",
                then="an engine that runs on a CPU (engine: llamacpp, vllm or transformers); %llm engines shows all",
            )
        return ()
    if not present:
        raise SpecError(
            "GPUs were asked for, and this machine has none that can be seen.", then="leave gpus out; %llm doctor"
        )
    if not isinstance(spec.gpus, list):
        wanted = (spec.tensor_parallel_size or 1) * (spec.pipeline_parallel_size or 1) * (spec.data_parallel_size or 1)
        records = Registry().list()
        free = launch_room.freest(wanted, spec.name, present, records)
        if len(free) < wanted:
            rooms = [launch_room.room(gpu, spec.name, records) for gpu in present]
            holders = {holder for room in rooms if room is not None for holder in room.holders}
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
