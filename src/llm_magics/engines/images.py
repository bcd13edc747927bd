"""An engine in its container image: which image, and the engine's own command as it has to be inside.

What starts it (docker, podman, apptainer, a pod) is told elsewhere; here every path of this machine in a spec becomes
the path that the engine sees.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from llm_magics.engines import hardware
from llm_magics.engines.base import Command, Executable, Image, Place
from llm_magics.errors import SpecError
from llm_magics.models import is_shipped

if TYPE_CHECKING:
    from llm_magics.engines.base import Engine
    from llm_magics.spec.server import ServerSpec

INSIDE = "/llm-magics"  # the folder inside, below which everything of this machine is
LAUNCHERS = Path(__file__).parent / "launchers"


def executable(engine: Engine, spec: ServerSpec) -> Executable:
    """The engine as it is in its image; its version is the image's tag, else the beginning of its digest.

    Raises
    ------
    SpecError
        When there is no official image for this machine and the spec names none.
    """
    image, name = facts(engine, spec), image_name(engine, spec)
    tagged, _, digest = name.rsplit("/", 1)[-1].partition("@")
    tag = tagged.partition(":")[2] or digest.removeprefix("sha256:")[:12] or "latest"
    cpu = "+cpu" if "cpu" in tagged and "cpu" not in tag else ""
    where = f"the image {name}"
    if engine.image is None:
        return Executable(tag + cpu, python=image.program, origin=where)
    return Executable(tag + cpu, binary=image.program, origin=where)


def facts(engine: Engine, spec: ServerSpec) -> Image:
    """What is known of the engine's image; of one that the spec names for an engine without any: that Python is in it.

    Raises
    ------
    SpecError
        When the engine has no image and the spec names none.
    """
    if engine.image is not None:
        return engine.image
    if spec.image is None:
        raise SpecError(
            f"{engine.title} has no container image of its own.",
            why="its makers publish none that serves",
            then=f"build one that has it (`{engine.install.hint}` inside) and name it: image: …; or another engine",
        )
    return Image(spec.image, spec.image, program="python3", carried=(str(LAUNCHERS),))


def image_name(engine: Engine, spec: ServerSpec) -> str:
    """The image that will run: the spec's, or the engine's for this machine."""
    image = facts(engine, spec)
    if spec.image:
        return spec.image
    name = image.cpu if spec.gpus == "none" or not hardware.has_gpu() else image.gpu
    if not name:
        raise SpecError(
            f"{engine.title} has no official image for a machine without a GPU.",
            then="give one as image:, or choose another engine (`%llm engines`)",
        )
    return name


class Mounted(Protocol):
    """Where paths of this machine are inside."""

    def inside(self, path: str) -> str:
        """Make a path of this machine be there inside, and say where; SpecError when it cannot be."""

    def forget(self, source: str) -> None:
        """It need not be there after all."""


def contained(engine: Engine, spec: ServerSpec, inside: Place, mounts: Mounted) -> Command:
    """The engine's own command inside a container: no launcher of this machine, and every path as it is inside.

    Parameters
    ----------
    inside
        Address inside, and the model as resolved on this machine, for adapters look into it.
    mounts
        Says where a path of this machine is inside.

    Raises
    ------
    SpecError
        As `Engine.command`, or when a path cannot be there.
    """
    model, image = inside.model, facts(engine, spec)
    seen = mounts.inside(model) if is_local(model) else model
    made = engine.command(inside, moved(spec, mounts))
    argv = made.argv[made.argv.index("--") + 1 :] if engine.launcher(inside, spec) else made.argv
    if model in argv:
        argv = [seen if word == model else word for word in argv]
    else:
        mounts.forget(model)  # it gets in by another way
    for path in image.carried:
        if any(word.startswith(path) for word in argv):
            there = mounts.inside(path)
            argv = [there + word[len(path) :] if word.startswith(path) else word for word in argv]
    for path in made.files:
        argv = [mounts.inside(path) if word == path else word for word in argv]
    return replace(made, argv=argv)


def moved(spec: ServerSpec, mounts: Mounted) -> ServerSpec:
    """The spec with every local path in it as it is inside."""
    changes: dict[str, Any] = {}
    if not is_shipped(spec.model) and is_local(spec.model):
        changes["model"] = mounts.inside(absolute(spec.model))
    if spec.tokenizer and is_local(spec.tokenizer):
        changes["tokenizer"] = mounts.inside(absolute(spec.tokenizer))
    if spec.lora_modules:
        changes["lora_modules"] = {
            name: mounts.inside(absolute(path)) if is_local(path) else path for name, path in spec.lora_modules.items()
        }
    if spec.speculative and isinstance(draft := spec.speculative.get("model"), str) and is_local(draft):
        changes["speculative"] = {**spec.speculative, "model": mounts.inside(absolute(draft))}
    return spec.model_copy(update=changes)


def is_local(written: str) -> bool:
    """Whether it is there on this machine; as for the engines, a folder goes before a hub id of its name."""
    return Path(written).expanduser().exists()


def absolute(written: str) -> str:
    """A path as it is to be mounted."""
    return str(Path(written).expanduser().absolute())
