"""Where engines are on this machine: in the kernel's Python, in environments made for them, or as a binary.

Engines pin clashing versions of torch, so most live in an environment of their own. Looked for in this order: what the
user names (`--python`, `--bin`), what was named before and worked, the kernel's own interpreter, `LLM_MAGICS_ENVS` or
the data directory's `envs` (where `install` makes one per engine, named by the engine's key), a binary on PATH.

`LLM_MAGICS_ENVS` is a folder of environments, `<folder>/<engine's key>`, shared between data directories: a cache in
continuous integration, or one place for all users of a machine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from llm_magics import engines, paths
from llm_magics.engines import asking, hardware, memory
from llm_magics.engines.base import Executable
from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.engines.base import Engine

VARIABLE = "LLM_MAGICS_ENVS"
_DOCKER_SOCKET = Path("/var/run/docker.sock")
KERNELS = "the kernel's Python"  # where an engine was found that shares the kernel's environment


@dataclass(frozen=True)
class Found:
    """One engine as `%llm engines` and the doctor tell of it.

    Attributes
    ----------
    where, origin
        The interpreter or binary, and how it was found; empty when it is not installed.
    command
        What installs it, in a notebook's words (`spec.typed.in_terminal` has the terminal's).
    """

    key: str
    title: str
    installed: bool
    version: str
    where: str
    origin: str
    command: str


def folder() -> Path:
    """The folder of environments made for engines: `LLM_MAGICS_ENVS`, else `envs` in the data directory."""
    given = os.environ.get(VARIABLE)
    return Path(given).expanduser().absolute() if given else paths.data_dir() / "envs"


def python_of(environment: Path) -> Path:
    """The interpreter of a virtual environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def locate(engine: Engine, *, python: str | None = None, bin: str | None = None) -> Executable | None:  # noqa: A002
    """Where this engine is, or None.

    Raises
    ------
    SpecError
        When a place that was given does not hold the engine.
    """
    if bin is not None:
        return _given_binary(engine, bin)
    if python is not None:
        return _given_python(engine, python)
    return _of_memory(engine) or _of_kernel(engine) or _of_folder(engine) or _of_path(engine)


def inventory() -> list[Found]:
    """Every engine: what of it is here, which version, where, and the command that installs it."""
    found = []
    for key in engines.names():
        engine = engines.get(key)
        executable = locate(engine)
        where = (executable.python or executable.binary or "") if executable else ""
        found.append(
            Found(
                key=key,
                title=engine.title,
                installed=executable is not None,
                version=executable.version if executable else "",
                where=where,
                origin=executable.origin if executable else "",
                command=brings(engine),
            )
        )
    return found


def brings(engine: Engine, *, gpu: bool | None = None) -> str:
    """What brings an engine that is not here: `%llm install KEY`, or by hand, with the container tool that is on PATH.

    `gpu` says for which kind of machine; None: for this one.
    """
    steps = engine.install.gpu if (hardware.has_gpu() if gpu is None else gpu) else engine.install.cpu
    return f"%llm install {engine.key}" if steps else by_hand(engine)


def by_hand(engine: Engine) -> str:
    """What the adapter says of how its engine comes here, with the container tool that this machine has."""
    return by_tool(engine.install.hint)


def by_tool(text: str) -> str:
    """`on: docker` in a hint as the container tool that this machine has; a client with no daemon comes last."""
    here = [each for each in ("docker", "podman", "apptainer") if shutil.which(each)]
    if "docker" in here and not _docker_daemon():
        here.append(here.pop(0))
    return text.replace("on: docker", f"on: {here[0] if here else 'docker'}")


def _docker_daemon() -> bool:
    """Whether docker's client has somebody to talk to, as far as files tell: to ask it takes a process."""
    if os.environ.get("DOCKER_HOST") or os.environ.get("DOCKER_CONTEXT"):
        return True
    own = Path(os.environ.get("DOCKER_CONFIG", "~/.docker")).expanduser()
    rootless = Path(os.environ.get("XDG_RUNTIME_DIR", "/nonexistent")) / "docker.sock"
    return any(each.exists() for each in (_DOCKER_SOCKET, rootless, own / "run/docker.sock", own / "contexts"))


def _given_python(engine: Engine, python: str) -> Executable:
    path = Path(python).expanduser()
    if path.is_dir():  # an environment's folder is what people have at hand
        path = python_of(path)
    found = asking.ask(engine, path, "given")
    if found is None:
        there = f"{path} does not have {', '.join(engine.install.modules)}" if path.exists() else f"there is no {path}"
        raise SpecError(f"{engine.title} is not where --python says.", why=there, then=f"install: {by_hand(engine)}")
    return found


def _given_binary(engine: Engine, binary: str) -> Executable:
    path = shutil.which(Path(binary).expanduser())
    if engine.install.binary is None:
        raise SpecError(f"{engine.title} is no single program.", then="--python PATH names a Python that has it")
    if path is None:
        raise SpecError(
            f"{engine.title} is not where --bin says.",
            why=f"{binary} is no program that can be run",
            then=f"give the path of {engine.install.binary}, or install: {by_hand(engine)}",
        )
    return asking.ask_program(engine, path, "given")


def remember(engine: Engine, found: Executable) -> None:
    """Look here first the next time: a place that a user named, and from which the engine really started."""
    memory.remember(engine.key, {"python": found.python} if found.python else {"bin": found.binary})


def forget(engine: Engine) -> None:
    """Look no more where a user once said."""
    memory.forget(engine.key)


def _of_memory(engine: Engine) -> Executable | None:
    place = memory.place(engine.key)
    if not isinstance(place, dict):
        return None
    if isinstance(python := place.get("python"), str):
        return asking.ask(engine, python, "named before")
    if isinstance(binary := place.get("bin"), str) and os.access(binary, os.X_OK):
        return asking.ask_program(engine, binary, "named before")
    return None


def _of_kernel(engine: Engine) -> Executable | None:
    """In-process, so that the common case costs no process."""
    if not engine.install.modules or any(find_spec(name) is None for name in engine.install.modules):
        return None
    versions = {}
    for name in engine.install.distributions:
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return Executable(asking.version_of(engine, versions), python=sys.executable, origin=KERNELS)


def _of_folder(engine: Engine) -> Executable | None:
    return asking.ask(engine, python_of(folder() / engine.key), "installed by llm-magics")


def _of_path(engine: Engine) -> Executable | None:
    binary = shutil.which(engine.install.binary) if engine.install.binary else None
    return asking.ask_program(engine, binary, "on PATH") if binary else None
