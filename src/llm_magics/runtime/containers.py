"""Containers from outside: does the daemon answer, is the port the container's, and is it really gone.

A container is no child of its client: what the client leaves behind when it is killed has to be removed by name.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Mapping

from llm_magics.errors import LaunchError

_PATIENCE = 30.0  # s for one answer of the daemon
_TOOLS = {"docker": ("version", "--format", "{{.Server.Version}}"), "podman": ("info", "--format", "{{.Host.OS}}")}
_INSTALL = {
    "docker": "install Docker Engine (docs.docker.com/engine/install)",
    "podman": "install Podman (podman.io)",
    "apptainer": "install Apptainer (apptainer.org)",
}
_NAME = re.compile(r"llm-magics-\w+")


def check(tool: str) -> None:
    """Make sure that a container can be started, before anything is.

    Raises
    ------
    LaunchError
        When the client is not installed, or its daemon does not answer; with the reason and the remedy.
    """
    path = shutil.which(tool)
    if path is None:
        raise LaunchError(
            f"{tool} is not installed.", why="there is no such program on PATH", then=f"{_INSTALL[tool]}, or on: local"
        )
    if tool not in _TOOLS:
        return
    try:
        done = subprocess.run(
            [path, *_TOOLS[tool]], capture_output=True, text=True, timeout=_PATIENCE, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise LaunchError(
            f"{tool} does not answer.", why=f"`{tool} {_TOOLS[tool][0]}` took longer than {_PATIENCE:g} s",
            then="restart its daemon, or serve without a container: on: local",
        ) from None  # fmt: skip
    if done.returncode != 0:
        from llm_magics.engines.container_messages import FAILURES

        said = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}").splitlines()[-1]
        found = next((failure for failure in FAILURES if re.search(failure.pattern, said)), None)
        raise LaunchError(
            f"{tool} cannot start containers: {found.cause}." if found else f"{tool} cannot start containers.",
            why=said,
            then=found.remedy if found else "see its own documentation, or serve without a container: on: local",
        )


def publishes(container: Mapping[str, str], port: int, environ: Mapping[str, str] | None = None) -> bool:
    """Whether a port of this machine is the container's; nobody else is to be asked, or sent a key."""
    said = _ask(container, ("port", container["name"]), environ)
    return said is not None and any(line.rstrip().endswith(f":{port}") for line in said.splitlines())


def remove(container: Mapping[str, str] | None, environ: Mapping[str, str] | None = None) -> None:
    """Stop and remove a container, whatever state it is in; nothing happens where there is none."""
    if container is not None and container.get("tool") in _TOOLS and _NAME.match(container.get("name", "")):
        _ask(container, ("rm", "--force", "--volumes", container["name"]), environ)


def _ask(container: Mapping[str, str], words: tuple[str, ...], environ: Mapping[str, str] | None = None) -> str | None:
    path = shutil.which(container["tool"], path=environ.get("PATH") if environ else None)
    if path is None:
        return None
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            [path, *words], capture_output=True, text=True, timeout=_PATIENCE, env=environ, stdin=subprocess.DEVNULL
        )
        return done.stdout if done.returncode == 0 else None
    return None
