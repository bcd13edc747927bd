"""A dry run for another machine: the command of a server that lacks something here, and what it lacks.

Only what a machine has or has not is supposed, GPUs and the installed engine; what is wrong in the spec stays wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_magics.engines import hardware
from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.api.preparing import Prepared
    from llm_magics.engines.base import Engine, Executable
    from llm_magics.spec import ServerSpec


def shown(spec: ServerSpec, *, force: bool = False) -> str:
    """The command of a server; where something for it is missing here, below a comment that says what.

    Raises
    ------
    SpecError
        As `preparing.prepare`, for all that is not a matter of the machine.
    """
    from llm_magics import engines
    from llm_magics.api.preparing import prepare

    engine = engines.get(spec.engine)
    gpu, missing = _lacks_gpu(spec, engine), []
    if gpu:
        missing.append("a GPU")
    if absent := _absent(spec, engine, gpu=gpu):
        missing.append(absent)
    if not missing:
        return prepare(spec, force=force).command_line
    with hardware.elsewhere(gpu=gpu or hardware.has_gpu(), threads=hardware.threads()):
        command = _prepared(spec, engine, gpu=gpu, absent=bool(absent)).command_line
    return f"# Missing on this machine: {' and '.join(missing)}. The command where it is there:\n{command}"


def _lacks_gpu(spec: ServerSpec, engine: Engine) -> bool:
    from llm_magics.runtime import gpus

    wanted = engine.needs_gpu or spec.gpus not in (None, "none")
    return wanted and not spec.far and not gpus.gpus()


def _absent(spec: ServerSpec, engine: Engine, *, gpu: bool) -> str:
    """An engine that is not here, or not as the build for GPUs that the spec needs, and what brings it; else "".

    "" too where the spec names a place or an image: what is there is what is meant.
    """
    from llm_magics.engines import environments

    if spec.on != "local" or spec.image or spec.python or spec.bin:
        return ""
    found = environments.locate(engine)
    if found is None:
        return f"{engine.title} ({environments.brings(engine, gpu=gpu or hardware.has_gpu())})"
    if found.for_cpus and spec.gpus not in (None, "none"):
        return f"{engine.title}'s build for GPUs (%llm install {engine.key} --gpu)"
    return ""


def _prepared(spec: ServerSpec, engine: Engine, *, gpu: bool, absent: bool) -> Prepared:
    from llm_magics.api import preparing
    from llm_magics.engines import models

    engine.said(spec)
    here = spec.model_copy(update={"gpus": None}) if gpu else spec
    numbers = _numbers(spec) if gpu else preparing.gpus_of(here, engine)
    found = _supposed(engine, gpu=gpu) if absent else preparing.executable_of(engine, spec)
    return preparing.Prepared(spec, engine, found, models.resolve(engine, spec), numbers)


def _numbers(spec: ServerSpec) -> tuple[int, ...]:
    """The GPUs that were named; of `auto` the first ones, as many as the spec needs."""
    if isinstance(spec.gpus, list):
        return tuple(spec.gpus)
    if spec.gpus != "auto":
        return ()
    wanted = (spec.tensor_parallel_size or 1) * (spec.pipeline_parallel_size or 1) * (spec.data_parallel_size or 1)
    return tuple(range(wanted))


def _supposed(engine: Engine, *, gpu: bool) -> Executable:
    """The engine as an installation would leave it, in the version that its adapter was made for."""
    from llm_magics.engines import environments
    from llm_magics.engines.base import Executable

    build = "+cpu" if engine.key == "vllm" and not (gpu or hardware.has_gpu()) else ""
    version = (engine.tested or ("",))[-1] + build
    if not engine.install.modules:
        if engine.install.binary is None:
            raise SpecError(f"{engine.title} is not installed.", then=environments.by_hand(engine))
        return Executable(version, binary=engine.install.binary, origin="supposed")
    python = environments.python_of(environments.folder() / engine.key)
    return Executable(version, python=str(python), origin="supposed")
