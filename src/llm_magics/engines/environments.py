"""Where engines are on this machine: in the kernel's Python, in environments made for them, or as a binary.

Engines pin clashing versions of torch, so most live in an environment of their own. Looked for in this order: what the
user names (`--python`, `--bin`), what was named before and worked, the kernel's own interpreter, `LLM_MAGICS_ENVS` or
the data directory's `envs` (where `install` makes one per engine, named by the engine's key), a binary on PATH.

`LLM_MAGICS_ENVS` is a folder of environments, `<folder>/<engine's key>`, shared between data directories: a cache in
continuous integration, or one place for all users of a machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magics import engines, paths
from llm_magics.engines import hardware, memory
from llm_magics.engines.base import Executable
from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.engines.base import Engine

VARIABLE = "LLM_MAGICS_ENVS"
KERNELS = "the kernel's Python"  # where an engine was found that shares the kernel's environment
_ASK_TIMEOUT = 60.0  # s; an interpreter on a slow network disk takes seconds to start

# Run by the other interpreter, any Python 3.8 or newer: which modules are missing, which versions are installed.
_QUESTION = """
import json, sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
modules, names = (words.split(",") for words in sys.argv[1:])
versions = {}
for name in names:
    try:
        versions[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps({"missing": [name for name in modules if find_spec(name) is None], "versions": versions}))
"""


@dataclass(frozen=True)
class Found:
    """One engine as `%llm engines` and the doctor tell of it.

    Attributes
    ----------
    where, origin
        The interpreter or binary, and how it was found; empty when it is not installed.
    command
        What installs it.
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
                command=brings(engine).replace("%llm", "llm-magics"),
            )
        )
    return found


def brings(engine: Engine, *, gpu: bool | None = None) -> str:
    """What brings an engine that is not here: `%llm install KEY`, or by hand, with the container tool that is on PATH.

    `gpu` says for which kind of machine; None: for this one.
    """
    steps = engine.install.gpu if (hardware.has_gpu() if gpu is None else gpu) else engine.install.cpu
    return f"%llm install {engine.key}" if steps else by_tool(engine.install.hint)


def by_tool(text: str) -> str:
    """`on: docker` in a hint as the container tool that this machine has."""
    tool = next((each for each in ("docker", "podman", "apptainer") if shutil.which(each)), "docker")
    return text.replace("on: docker", f"on: {tool}")


def ask(engine: Engine, python: str | Path, origin: str) -> Executable | None:
    """The engine in another interpreter, by asking it; the answer is kept while its packages stay the same."""
    interpreter = Path(python).expanduser().absolute()  # not resolved: a venv's python is a link to the base's
    if not engine.install.modules or not os.access(interpreter, os.X_OK) or interpreter.is_dir():
        return None
    answer = memory.kept(
        f"{engine.key} {interpreter}",
        [*engine.install.modules, interpreter.stat().st_mtime, *_packages(interpreter)],
        lambda: _answer(engine, interpreter),
    )
    return _executable(engine, answer, interpreter, origin)


def examined(engine: Engine, python: str | Path, origin: str) -> Executable | None:
    """As `ask`, and nothing is kept of it: on a node of a cluster, where this project has no folder of its own."""
    interpreter = Path(python).expanduser().absolute()
    if not engine.install.modules or not os.access(interpreter, os.X_OK) or interpreter.is_dir():
        return None
    return _executable(engine, _answer(engine, interpreter), interpreter, origin)


def program(engine: Engine, path: str, origin: str) -> Executable:
    """A program of the engine's as it is, with what its `--version` says; nothing is kept of it."""
    return Executable(_said_version(path), binary=str(Path(path).absolute()), origin=origin)


def _executable(engine: Engine, answer: dict[str, Any] | None, python: Path, origin: str) -> Executable | None:
    if answer is None or answer["missing"]:
        return None
    return Executable(_version(engine, answer["versions"]), python=str(python), origin=origin)


def _answer(engine: Engine, interpreter: Path) -> dict[str, Any] | None:
    words = (",".join(engine.install.modules), ",".join(engine.install.distributions))
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    try:
        done = subprocess.run(
            [str(interpreter), "-c", _QUESTION, *words],
            capture_output=True, text=True, check=True, timeout=_ASK_TIMEOUT,
            env=env, cwd="/", stdin=subprocess.DEVNULL,
        )  # fmt: skip
        answer = json.loads(done.stdout.splitlines()[-1])
        return {"missing": list(answer["missing"]), "versions": dict(answer["versions"])}
    except (OSError, subprocess.SubprocessError, ValueError, IndexError, KeyError, TypeError):
        return None


def _packages(interpreter: Path) -> list[float]:
    """Changes when a package is added to or removed from the interpreter's environment."""
    folders = interpreter.parent.parent.glob("lib*/python3*/site-packages")
    return sorted(path.stat().st_mtime for path in folders)


def _version(engine: Engine, versions: dict[str, str]) -> str:
    """Of the first distribution that is there. `…-cpu` is marked `+cpu`, as vLLM does itself: it is another build."""
    for name in engine.install.distributions:
        if name in versions:
            mark = "+cpu" if name.endswith("-cpu") and "cpu" not in versions[name] else ""
            return versions[name] + mark
    return ""


def _given_python(engine: Engine, python: str) -> Executable:
    path = Path(python).expanduser()
    if path.is_dir():  # an environment's folder is what people have at hand
        path = python_of(path)
    found = ask(engine, path, "given")
    if found is None:
        there = f"{path} does not have {', '.join(engine.install.modules)}" if path.exists() else f"there is no {path}"
        raise SpecError(
            f"{engine.title} is not where --python says.", why=there, then=f"install: {engine.install.hint}"
        )
    return found


def _given_binary(engine: Engine, binary: str) -> Executable:
    path = shutil.which(Path(binary).expanduser())
    if engine.install.binary is None:
        raise SpecError(f"{engine.title} is no single program.", then="--python PATH names a Python that has it")
    if path is None:
        raise SpecError(
            f"{engine.title} is not where --bin says.",
            why=f"{binary} is no program that can be run",
            then=f"give the path of {engine.install.binary}, or install: {engine.install.hint}",
        )
    return _program(engine, path, "given")


def _program(engine: Engine, path: str, origin: str) -> Executable:
    """A program of the engine's; one that is a Python script stands for the interpreter it names."""
    binary = Path(path).absolute()
    with binary.open("rb") as file:
        first = file.readline(512)
    if first.startswith(b"#!") and b"python" in first:
        interpreter = os.fsdecode(first[2:].strip())
        if found := ask(engine, interpreter, origin):
            return found
    answer = memory.kept(str(binary), [binary.stat().st_mtime], lambda: {"version": _said_version(str(binary))})
    return Executable((answer or {}).get("version", ""), binary=str(binary), origin=origin)


def _said_version(binary: str) -> str:
    """What `--version` says; "" when it says nothing of use."""
    try:
        done = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=_ASK_TIMEOUT, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    found = re.search(r"^(?:.*version(?::| is)?\s+)?v?(\d\S*.*?)\s*$", done.stdout + done.stderr, re.MULTILINE)
    return found[1] if found and done.returncode == 0 else ""


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
        return ask(engine, python, "named before")
    if isinstance(binary := place.get("bin"), str) and os.access(binary, os.X_OK):
        return _program(engine, binary, "named before")
    return None


def _of_kernel(engine: Engine) -> Executable | None:
    """In-process, so that the common case costs no process."""
    if not engine.install.modules or any(find_spec(name) is None for name in engine.install.modules):
        return None
    versions = {}
    for name in engine.install.distributions:
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return Executable(_version(engine, versions), python=sys.executable, origin=KERNELS)


def _of_folder(engine: Engine) -> Executable | None:
    return ask(engine, python_of(folder() / engine.key), "installed by llm-magics")


def _of_path(engine: Engine) -> Executable | None:
    binary = shutil.which(engine.install.binary) if engine.install.binary else None
    return _program(engine, binary, "on PATH") if binary else None
