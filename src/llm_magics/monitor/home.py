"""Where everything of the monitor is on this machine: one private folder under our data directory.

What is made at each start and what is worth keeping stand apart: `down` removes the first, and the measurements stay
until their retention ends, so that a Prometheus that was killed goes on where it was.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from llm_magics.runtime.identity import Identity
from llm_magics.runtime.private_files import write_whole


@dataclass(frozen=True)
class State:
    """A monitor as it was started. Everything is plain JSON; there is no secret in it.

    Attributes
    ----------
    id
        The mark in the environment of all its processes.
    process
        Identity of our own process, the parent of the others.
    prometheus, alertmanager, inbox
        Base URLs.
    versions
        Program -> what it says of its version, or the image it runs in.
    on
        `local`, or the container tool.
    limits, every, hold, retention
        Limits of the alerts; s between two scrapes; s an alert waits (None: as each says); how long data is kept.
    rules
        How many alerting rules were written.
    started
        s since the epoch.
    containers
        What has to be removed by name.
    """

    id: str
    process: dict[str, Any]
    prometheus: str
    alertmanager: str
    inbox: str
    on: str
    limits: dict[str, float]
    every: float
    hold: float | None
    retention: float
    rules: int
    started: float
    versions: dict[str, str] = field(default_factory=dict)
    containers: list[dict[str, str]] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        """Whether our own process runs; what it started may have ended all the same."""
        try:
            return Identity.from_json(self.process).alive()
        except ValueError:
            return False


class Home:
    """The folder.

    Parameters
    ----------
    path
        By default `monitor` in the project's data directory.
    """

    def __init__(self, path: Path | None = None) -> None:
        if path is None:
            from llm_magics.paths import data_dir

            path = data_dir() / "monitor"
        self.path = path
        self.config = path / "config"
        self.rules = self.config / "rules"
        self.targets = self.config / "targets"
        self.token = self.config / "token"  # who may read our page and post alerts to us
        self.data = {"prometheus": path / "prometheus", "alertmanager": path / "alertmanager"}
        self.inbox = path / "alerts.json"
        self._state = path / "state.json"

    def make(self) -> None:
        """Make the folders, for the user's eyes only.

        Raises
        ------
        OSError
            When they cannot be made.
        """
        for folder in (self.path, self.config, self.rules, self.targets, *self.data.values()):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.chmod(0o700)

    def log(self, program: str) -> Path:
        """The log of a program; the part before the last rotation is beside it with `.1`."""
        return self.path / f"{program}.log"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold what decides between two `up`s at once, across processes."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def state(self) -> State | None:
        """The monitor that was started last and not stopped; None where there is none."""
        try:
            return State(**json.loads(self._state.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def write_state(self, state: State) -> None:
        """Keep what was started; OSError when it cannot be written."""
        write_whole(self._state, json.dumps(asdict(state), indent=1))

    def forget(self) -> None:
        """Remove what a start made; measurements, alerts received and logs stay."""
        self._state.unlink(missing_ok=True)
        shutil.rmtree(self.config, ignore_errors=True)

    def purge(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.path, ignore_errors=True)
