"""Installs an engine into a virtual environment of its own, so that engines with clashing pins live side by side.

An environment is kept only when the engine was really imported in it: what a failure or an interrupt leaves half
made is removed, and the log stays.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from llm_magics import engines
from llm_magics.engines import asking, environments, hardware
from llm_magics.errors import LLMMagicsError, SpecError

if TYPE_CHECKING:
    from llm_magics.engines.base import Engine, Executable

CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
Say = Callable[[str], None]


class InstallError(LLMMagicsError):
    """An engine could not be installed; nothing of it is left but the log."""


def install(key: str, *, gpu: bool | None = None, on_line: Say | None = None) -> Executable:
    """Make `<environments.folder()>/<key>` with the engine in it; one that is there already is replaced.

    Parameters
    ----------
    key
        The engine; with `==VERSION` that version of it, as `%llm engines` shows versions.
    gpu
        The build for a GPU or for a CPU; None: as this machine is.
    on_line
        Called with every line that the installers say. What it raises ends the installation (so does an interrupt).

    Raises
    ------
    SpecError
        Unknown engine, or one that cannot be installed here.
    InstallError
        With the installer's last lines; the whole log stays in `<folder>/<key>.log`.
    """
    key, _, version = key.partition("==")
    engine = engines.get(key)
    for_gpu = hardware.has_gpu() if gpu is None else gpu
    steps = engine.install.gpu if for_gpu else engine.install.cpu
    if not steps:
        raise SpecError(
            f"{engine.title} cannot be installed by pip on this machine.", then=environments.by_hand(engine)
        )
    if version:
        steps = _pinned(engine, steps, version)
    home = environments.folder()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    target, log = home / key, home / f"{key}.log"
    with log.open("w", encoding="utf-8", buffering=1) as file, _whole_or_none(target):
        log.chmod(0o600)

        def say(line: str) -> None:
            file.write(line + "\n")
            if on_line:
                on_line(line)

        try:
            _make(engine, target, say)
            wheels = [] if for_gpu else _cpu_wheels()
            for step in steps:
                _run(_pip(target, step, wheels), say)
            proof = engine.install.proof or ("-c", "import " + ", ".join(engine.install.modules))
            _run([str(environments.python_of(target)), *proof], say)
        except subprocess.CalledProcessError as error:
            file.flush()
            raise InstallError(
                f"{engine.title} could not be installed.",
                why="\n".join(log.read_text(encoding="utf-8").splitlines()[-6:]),
                then=f"the whole log: {log}; or install it yourself ({environments.by_hand(engine)}) "
                "and use --python PATH",
            ) from error
    found = asking.ask(engine, environments.python_of(target), "installed by llm-magics")
    environments.forget(engine)  # whatever was named before: this one was asked for last
    if found is None:
        raise InstallError(f"{engine.title} was installed and is not found in {target}.", then=f"see {log}")
    return found


def _pinned(engine: Engine, steps: Sequence[Sequence[str]], version: str) -> list[list[str]]:
    """The steps with this version of the engine's own package; what else they install is as the adapter says."""
    exact = version.removesuffix("+cpu")  # our mark of a build that is a package of its own (`environments`)
    own = "|".join(re.escape(name) for name in engine.install.distributions)
    requirement = re.compile(rf"({own})(\[[^\]]*\])?(?:[=<>~!].*)?")
    pinned = [
        [f"{found[1]}{found[2] or ''}=={exact}" if (found := requirement.fullmatch(word)) else word for word in step]
        for step in steps
    ]
    if pinned == [list(step) for step in steps] and not any(f"=={exact}" in word for step in steps for word in step):
        raise SpecError(
            f"No package of {engine.title} is among what is installed for it.", then=environments.by_hand(engine)
        )
    return pinned


@contextmanager
def _whole_or_none(target: Path) -> Iterator[None]:
    """When anything at all goes wrong, an interrupt included, what was there before is there again."""
    before = target.with_name(f".{target.name}.before")
    if target.exists():
        shutil.rmtree(before, ignore_errors=True)
        target.rename(before)
    try:
        yield
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        if before.exists():
            before.rename(target)
        raise
    shutil.rmtree(before, ignore_errors=True)


def _make(engine: Engine, target: Path, say: Say) -> None:
    python = _interpreter(engine)
    if uv := shutil.which("uv"):
        _run([uv, "venv", "--python", python or _wanted(engine), str(target)], say)
    elif python:
        _run([python, "-m", "venv", str(target)], say)
    else:
        first, end = engine.install.python
        raise SpecError(
            f"{engine.title} needs Python {first[0]}.{first[1]} to {end[0]}.{end[1] - 1}, and none was found.",
            why=f"this one is {sys.version_info.major}.{sys.version_info.minor}",
            then=f"put python{_wanted(engine)} or uv on PATH",
        )


def _interpreter(engine: Engine) -> str | None:
    """This Python when the engine supports it, else the newest one on PATH that it does, if it really runs."""
    first, end = engine.install.python
    if first <= sys.version_info[:2] < end:
        return sys.executable
    for minor in range(end[1] - 1, first[1] - 1, -1):
        name = shutil.which(f"python{first[0]}.{minor}")
        # A name on PATH may be a version manager's, which runs nothing.
        if name and subprocess.run([name, "-c", ""], capture_output=True).returncode == 0:
            return name
    return None


def _wanted(engine: Engine) -> str:
    """The version uv is asked to find or fetch: the first one, which every wheel is built for."""
    (major, minor), _ = engine.install.python
    return f"{major}.{minor}"


def _cpu_wheels() -> list[str]:
    """PyTorch's own index, if it answers, for a build without 5 GB of CUDA; elsewhere pip finds what it finds."""
    request = urllib.request.Request(CPU_WHEELS, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=5):  # noqa: S310 - https, as it stands above
            return ["--extra-index-url", CPU_WHEELS]
    except (OSError, ValueError):
        return []


def _pip(target: Path, step: Sequence[str], wheels: Sequence[str]) -> list[str]:
    python = str(environments.python_of(target))
    removing = step[0] == "uninstall"
    words = list(step[1:]) if removing else [*step, *wheels]
    if uv := shutil.which("uv"):
        verb = ["uninstall"] if removing else ["install", "--index-strategy", "unsafe-best-match"]
        return [uv, "pip", *verb, "--python", python, *words]
    if removing:
        return [python, "-m", "pip", "uninstall", "-y", *words]
    return [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--progress-bar=off", *words]


def _run(command: list[str], say: Say) -> None:
    """Run in a group of its own, which is ended when the caller is interrupted or `say` raises."""
    say("$ " + " ".join(command))
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", env=env, process_group=0,
    )  # fmt: skip
    try:
        output: IO[str] = process.stdout  # type: ignore[assignment]
        for line in output:
            say(line.rstrip("\n"))
        status = process.wait()
    except BaseException:
        _end(process)
        raise
    finally:
        if process.stdout:
            process.stdout.close()
    if status:
        raise subprocess.CalledProcessError(status, command)


def _end(process: subprocess.Popen[str]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(5)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
