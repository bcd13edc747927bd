"""The registry: one JSON record per server in a private directory, the only truth that all front ends share.

Everything here survives being killed at any moment. Records are replaced in one step, read-modify-write happens under a
file lock, and a reader believes a record only as far as the identity of its supervisor is verified: a record that
claims to run, but whose supervisor does not, is `lost`, and what the supervisor left behind is ended by that reader;
but a container, which takes a command to remove, only by a reader that may start one.

The directory may be shared with other hosts or containers (a home over NFS, a volume), whose processes cannot be seen
from here: a server of theirs is `elsewhere` as long as its supervisor gives a sign of life, the time of the record's
file, and `lost` when none has come for too long.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from llm_magics.runtime.identity import Identity
from llm_magics.runtime.leftovers import sweep
from llm_magics.runtime.private_files import discard_unfinished, write_whole
from llm_magics.runtime.record import Record

_log = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")
_KEPT = 24 * 3600.0  # s that the record and log of an ended server can still be read
BEAT = 30.0  # s between two signs of life of a supervisor
SILENCE = 10 * BEAT  # s without one after which a server of another host is lost; clocks of hosts differ, NFS is late


class Registry:
    """The records in one directory.

    Parameters
    ----------
    directory
        Where the records are; by default the project's part of Jupyter's runtime directory.
    starts_nothing
        Whether no process may be started from here, as where somebody only looks (the sidebars): what a lost server
        left in a container stays, for the next kernel or command that reads, or whoever stops or dismisses it.
    """

    def __init__(self, directory: Path | None = None, *, starts_nothing: bool = False) -> None:
        if directory is None:
            from llm_magics.paths import runtime_dir

            directory = runtime_dir()
        self.directory = directory
        self._starts_nothing = starts_nothing

    def list(self) -> list[Record]:
        """All records, oldest server first; `state` is what is true now. Files that are no record are skipped."""
        try:
            names = [entry.stem for entry in self.directory.iterdir() if entry.suffix == ".json"]
        except OSError as error:
            _log.debug("cannot list %s: %s", self.directory, error)
            return []
        records = [record for name in names if (record := self.get(name)) is not None]
        return sorted(records, key=lambda record: (record.created, record.name))

    def get(self, name: str) -> Record | None:
        """The record of one server with its true state, or None where there is none that can be read."""
        record = self.read(name)
        return None if record is None else self._judged(record)

    def read(self, name: str) -> Record | None:
        """The record as it stands in the file, its state unverified."""
        if not _NAME.fullmatch(name):
            return None
        try:
            record = Record.from_json(json.loads(self._path(name, "json").read_bytes()))
            if record.name != name:
                raise ValueError(f"it is the record of {record.name!r}")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            _log.debug("skipping the record of %s: %s", name, error)
            return None
        return record

    def exists(self, name: str) -> bool:
        """Whether there is a file for this name, readable or not; a file system in trouble does not mean no."""
        if not _NAME.fullmatch(name):
            return False
        try:
            self._path(name, "json").stat()
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return True

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold one server's lock, across processes and threads. Not reentrant; hold it for moments only."""
        path = self._path(name, "lock")
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                if _same_file(handle, path):
                    yield
                    return
            finally:
                os.close(handle)

    def write(self, record: Record) -> None:
        """Write a record in one step. Whoever changes an existing one uses `update`.

        Raises
        ------
        OSError
            When it cannot be written; the old record is then still there, whole.
        """
        write_whole(self._path(record.name, "json"), json.dumps(record.to_json(), indent=1))

    def update(self, name: str, change: Callable[[Record], Record]) -> Record:
        """Change a record under its lock; `change` gets what stands in the file.

        Raises
        ------
        KeyError
            When there is no such record.
        """
        with self.lock(name):
            record = self.read(name)
            if record is None:
                raise KeyError(name)
            changed = change(record)
            if changed != record:
                self.write(changed)
            return changed

    def remove(self, name: str) -> bool:
        """Remove the record, key and log of a server that has ended; False, and nothing happens, while it runs."""
        with self.lock(name):
            record = self.get(name)
            if record is not None and (record.alive or record.state == "elsewhere"):
                return False
            for kind in ("json", "key", "log", "log.1", "engine.yaml", "lock"):
                self._path(name, kind).unlink(missing_ok=True)
            return True

    def prune(self) -> None:
        """Remove what is left of servers that ended over a day ago, and of writers and launches that were killed."""
        discard_unfinished(self.directory)
        self._forget_keys_of_nobody()
        for record in self.list():
            ended = not record.alive and record.state != "elsewhere"
            if ended and time.time() - (record.ended_at or self._heard(record.name)) > _KEPT:
                self.remove(record.name)

    def beat(self, name: str) -> None:
        """A sign of life of a server's supervisor, for those who cannot see its process."""
        with contextlib.suppress(OSError):
            os.utime(self._path(name, "json"))

    def log_path(self, name: str) -> Path:
        """Where the server's output is; the part before the last rotation is beside it with `.1`."""
        return self._path(name, "log")

    def key_path(self, name: str) -> Path:
        """Where the server's API key is while it runs, if it has one; mode 0600."""
        return self._path(name, "key")

    def key(self, name: str) -> str | None:
        """The server's API key, or None where it has none."""
        try:
            return self.key_path(name).read_text()
        except OSError:
            return None

    def write_key(self, name: str, key: str | None) -> None:
        """Keep a server's API key, in a file of its own that only the user can read; None removes it."""
        if key is None:
            self.key_path(name).unlink(missing_ok=True)
        else:
            write_whole(self.key_path(name), key)

    def forget_key(self, record: Record) -> None:
        """Remove the key of a server that ended, unless the name is another server's by now."""
        with self.lock(record.name):
            latest = self.read(record.name)
            if latest is None or latest.id == record.id:
                self.write_key(record.name, None)

    def _forget_keys_of_nobody(self) -> None:
        """A launch writes the key before the record, so that no record is ever without its key."""
        for name in [path.stem for path in self.directory.glob("*.key")]:
            if _NAME.fullmatch(name) and not self.exists(name):
                with contextlib.suppress(OSError), self.lock(name):
                    if not self.exists(name):
                        self.write_key(name, None)

    def _elsewhere(self, record: Record) -> bool:
        """Whether a record that claims to run is of a server on another host, and gave a sign of life lately."""
        if record.host == os.uname().nodename or time.time() - self._heard(record.name) > SILENCE:
            return False
        try:
            return not Identity.from_json(record.supervisor).here
        except ValueError:
            return False

    def _heard(self, name: str) -> float:
        """When a server's record was written or its supervisor gave a sign of life, s since the epoch; 0: never."""
        try:
            return self._path(name, "json").stat().st_mtime
        except OSError:
            return 0.0

    def _path(self, name: str, kind: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a server")
        return self.directory / f"{name}.{kind}"

    def _judged(self, record: Record) -> Record:
        if not record.alive:
            return record
        try:
            supervised = Identity.from_json(record.supervisor).alive()
        except ValueError:
            supervised = False
        if supervised:
            return record
        # Read again: a supervisor that ended in order wrote its last word before it went.
        latest = self.read(record.name)
        if latest is None or latest.id != record.id or not latest.alive:
            return latest or replace(record, state="lost", stage="")
        if self._elsewhere(latest):
            return replace(latest, state="elsewhere", stage="")
        if record.container is None or not self._starts_nothing:
            sweep(record)
        discard_unfinished(self.directory)
        return replace(record, state="lost", stage="")


def _same_file(handle: int, path: Path) -> bool:
    """Whether a locked file still has its name: `remove` takes it away, and then the lock is nobody's."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
