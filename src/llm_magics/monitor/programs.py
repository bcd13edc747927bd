"""Prometheus and Alertmanager as programs: where they are found, and the exact command of each.

A binary on PATH (Debian calls the second one `prometheus-alertmanager`), else the makers' images by docker or podman.
Both listen on the loopback interface only; neither lets itself be changed or stopped through its web page.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from llm_magics.engines.containers import CLIENT
from llm_magics.errors import LaunchError
from llm_magics.monitor.home import Home
from llm_magics.runtime import containers

NAMES = ("prometheus", "alertmanager")
_BINARIES = {"prometheus": ("prometheus",), "alertmanager": ("alertmanager", "prometheus-alertmanager")}
_IMAGES = {"prometheus": "docker.io/prom/prometheus:v3.5.0", "alertmanager": "docker.io/prom/alertmanager:v0.28.1"}
_VERSION = re.compile(r"version (\S+)")
INSTALL = "sudo apt-get install prometheus prometheus-alertmanager (or the archives of prometheus.io/download, on PATH)"


@dataclass(frozen=True)
class Program:
    """One of the two.

    Attributes
    ----------
    name
        `prometheus` or `alertmanager`.
    start
        The beginning of its command: a binary, or a container's client with the image.
    version
        As it says itself; an image's name in a container.
    container
        `{"tool": …, "name": …}`, or None.
    """

    name: str
    start: tuple[str, ...]
    version: str
    container: dict[str, str] | None = None


def find(on: str, home: Home, readable: Path) -> tuple[str, list[Program]]:
    """Both programs, and where they run: `local`, `docker` or `podman`.

    Parameters
    ----------
    on
        Where they are to run; `auto` takes binaries, else the first container tool that answers.
    readable
        A folder that Prometheus must be able to read: that of the servers' keys.

    Raises
    ------
    LaunchError
        When there is neither; says what to type.
    """
    missing = [name for name in NAMES if _binary(name) is None]
    if on in ("auto", "local") and not missing:
        return "local", [_local(name) for name in NAMES]
    if on == "local":
        raise LaunchError(
            f"There is no {' and no '.join(missing)} on PATH.",
            why="monitoring is theirs, not ours: nothing of them is built in",
            then=f"{INSTALL}, or --on docker",
        )
    if on == "auto":
        on = next((tool for tool in ("docker", "podman") if _answers(tool)), "")
        if not on:
            raise LaunchError(
                f"There is no {' and no '.join(missing)} on PATH, and no docker or podman that answers.",
                why="monitoring is theirs, not ours: nothing of them is built in",
                then=INSTALL,
            )
    containers.check(on)
    return on, [_contained(name, on, home, readable) for name in NAMES]


def here() -> dict[str, str | None]:
    """Where on PATH each of the two is; None for one that is not."""
    return {name: _binary(name) for name in NAMES}


def prometheus(program: Program, home: Home, port: int, *, every: float, retention: float, size: int) -> list[str]:
    """Its command; `every` and `retention` in s, `size` in MB.

    A sample is the present for four scrapes and 30 s at least. Prometheus' own five minutes are too long for one that
    is started again on its old data: the last words of servers that are gone since would be alerts. An alert that did
    not get through is told again after ten seconds, where Prometheus alone waits a minute.
    """
    return [
        *program.start,
        f"--config.file={home.config / 'prometheus.yml'}",
        f"--storage.tsdb.path={home.data['prometheus']}",
        f"--storage.tsdb.retention.time={max(1, round(retention))}s",
        f"--storage.tsdb.retention.size={size}MB",
        f"--query.lookback-delta={max(30, math.ceil(4 * every))}s",
        f"--rules.alert.resend-delay={max(10, math.ceil(every))}s",
        f"--web.listen-address=127.0.0.1:{port}",
    ]


def alertmanager(program: Program, home: Home, port: int) -> list[str]:
    """Its command; without the gossip between several, which would listen on every interface."""
    return [
        *program.start,
        f"--config.file={home.config / 'alertmanager.yml'}",
        f"--storage.path={home.data['alertmanager']}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]


def client_environment() -> dict[str, str]:
    """What a container's client needs of our environment to find its daemon."""
    return {key: os.environ[key] for key in CLIENT if key in os.environ}


def promtool() -> str | None:
    """Prometheus' own checker of configuration and rules, where it is on PATH."""
    return shutil.which("promtool")


def _binary(name: str) -> str | None:
    return next((found for each in _BINARIES[name] if (found := shutil.which(each))), None)


def _local(name: str) -> Program:
    path = _binary(name) or name
    said = ""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10)
        said = done.stdout + done.stderr
    found = _VERSION.search(said)
    return Program(name, (path,), found[1].rstrip(",") if found else "")


def _answers(tool: str) -> bool:
    try:
        containers.check(tool)
    except LaunchError:
        return False
    return True


def _contained(name: str, tool: str, home: Home, readable: Path) -> Program:
    """In a container that shares this machine's network: servers listen on the loopback interface, and so does it.

    Our folder stands inside where it stands outside, so that one configuration fits both.
    """
    unique = f"llm-magics-{name}-{secrets.token_hex(4)}"
    mounts = [f"--mount=type=bind,source={home.path},target={home.path}"]
    if name == "prometheus":
        mounts.append(f"--mount=type=bind,source={readable},target={readable},readonly")
    for mount in mounts:
        if mount.count(",") > (3 if mount.endswith(",readonly") else 2) or '"' in mount:
            raise LaunchError(
                f"{home.path} cannot be mounted.", why="it holds a comma or a quote",
                then="point JUPYTER_DATA_DIR at another folder",
            )  # fmt: skip
    user = ["--userns=keep-id", "--security-opt=label=disable"] if tool == "podman" else []
    start = (
        tool, "run", "--rm", "--name", unique, "--network=host", f"--user={os.getuid()}:{os.getgid()}", *user,
        *mounts, _IMAGES[name],
    )  # fmt: skip
    return Program(name, start, _IMAGES[name], {"tool": tool, "name": unique})
