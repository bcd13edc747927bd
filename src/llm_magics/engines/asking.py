"""What an interpreter or a program says of the engine in it: whether it is there, and which version.

Answers are kept while the packages stay the same: a Python on a slow disk takes seconds to start.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magics.engines import memory
from llm_magics.engines.base import Executable

if TYPE_CHECKING:
    from llm_magics.engines.base import Engine

_TIMEOUT = 60.0  # s; an interpreter on a slow network disk takes seconds to start

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


def ask_program(engine: Engine, path: str, origin: str) -> Executable:
    """A program of the engine's, as `ask`; one that is a Python script stands for the interpreter it names."""
    binary = Path(path).absolute()
    with binary.open("rb") as file:
        first = file.readline(512)
    if first.startswith(b"#!") and b"python" in first:
        interpreter = os.fsdecode(first[2:].strip())
        if found := ask(engine, interpreter, origin):
            return found
    answer = memory.kept(str(binary), [binary.stat().st_mtime], lambda: {"version": _said_version(str(binary))})
    return Executable((answer or {}).get("version", ""), binary=str(binary), origin=origin)


def version_of(engine: Engine, versions: dict[str, str]) -> str:
    """Of the first distribution that is there. `…-cpu` is marked `+cpu`, as vLLM does itself: it is another build."""
    for name in engine.install.distributions:
        if name in versions:
            mark = "+cpu" if name.endswith("-cpu") and "cpu" not in versions[name] else ""
            return versions[name] + mark
    return ""


def _executable(engine: Engine, answer: dict[str, Any] | None, python: Path, origin: str) -> Executable | None:
    if answer is None or answer["missing"]:
        return None
    return Executable(version_of(engine, answer["versions"]), python=str(python), origin=origin)


def _answer(engine: Engine, interpreter: Path) -> dict[str, Any] | None:
    words = (",".join(engine.install.modules), ",".join(engine.install.distributions))
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    try:
        done = subprocess.run(
            [str(interpreter), "-c", _QUESTION, *words],
            capture_output=True, text=True, check=True, timeout=_TIMEOUT,
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


def _said_version(binary: str) -> str:
    """What `--version` says; "" when it says nothing of use."""
    try:
        done = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=_TIMEOUT, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    found = re.search(r"^(?:.*version(?::| is)?\s+)?v?(\d\S*.*?)\s*$", done.stdout + done.stderr, re.MULTILINE)
    return found[1] if found and done.returncode == 0 else ""
