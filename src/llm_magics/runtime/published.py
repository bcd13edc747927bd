"""The supervisor's side of the record: what it changes is written soon, and never over what others wrote meanwhile."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import Any

from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import BEAT, Registry

_PAUSE = 0.2  # s between two writes of a mere stage
_MOVED = 1.0  # s by which an announced end has to move to be written anew
# What others write into the record of a server that runs. Of an announced end it is the supervisor's word that counts,
# but who takes the server back, or keeps it, calls the announcement off: one that still holds is then made anew.
_OF_OTHERS = ("owners", "keep", "idle", "keep_until", "asleep", "stops_at", "stops_why")


class Published:
    """One server's record while its supervisor lives.

    Parameters
    ----------
    registry
        Where it is written.
    record
        The record as the launch wrote it.
    """

    def __init__(self, registry: Registry, record: Record) -> None:
        self._registry = registry
        self._changes: dict[str, Any] = {}
        self._next = 0.0
        self._beat = 0.0  # when the next sign of life is due, s of the monotonic clock
        self.record = record

    @property
    def pending(self) -> bool:
        """Whether something is not written yet: the disk may be full."""
        return bool(self._changes)

    def change(self, **changes: Any) -> None:
        """Change the record; a new state is written by the next `flush`, a new stage a little later."""
        if changes.get("state", self.record.state) != self.record.state:
            self._next = 0.0
        self.record = replace(self.record, **changes)
        self._changes |= changes

    def announce(self, stops_at: float | None, why: str) -> None:
        """Say when the server is to be stopped and why, None and "" where nothing is planned; once, until it moves."""
        moved = stops_at is not None and abs(stops_at - (self.record.stops_at or 0.0)) > _MOVED
        if moved or why != self.record.stops_why:
            self.change(stops_at=stops_at, stops_why=why)

    def flush(self, *, force: bool = False) -> None:
        """Write what changed; what cannot be written is kept for the next time."""
        now = time.monotonic()
        if not self._changes or (now < self._next and not force):
            return
        self._next = now + _PAUSE
        with contextlib.suppress(OSError), self._registry.lock(self.record.name):
            latest = self._registry.read(self.record.name)
            if self._ours(latest):
                # A record that was damaged is made whole again.
                self.record = replace(latest or self.record, **self._changes)
                self._registry.write(self.record)
            self._changes.clear()

    def refresh(self) -> bool:
        """Take over what others decide, owners, lifetime and what is announced; give a sign of life where one is due.

        Returns
        -------
        bool
            False when the record is gone, or the name is another server's by now.
        """
        latest = self._registry.read(self.record.name)
        if not self._ours(latest):
            return False
        if (now := time.monotonic()) >= self._beat:
            self._beat = now + BEAT
            self._registry.beat(self.record.name)
        if latest is not None:
            theirs = {key: getattr(latest, key) for key in _OF_OTHERS if key not in self._changes}
            self.record = replace(self.record, **theirs)
        return True

    def _ours(self, latest: Record | None) -> bool:
        if latest is None:
            return self._registry.exists(self.record.name)
        return latest.id == self.record.id
