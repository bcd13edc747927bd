"""CPU time and memory of a server's processes while a run goes on, each verified by its identity before it counts.

Walking the whole process table costs milliseconds, so it is walked every few seconds; in between only the known
processes are read. CPU time of one that ended stays in the sum, so that the sum never falls.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from llm_magics.runtime import processes
from llm_magics.runtime.identity import Identity
from llm_magics.runtime.record import Record

_WALK = 2.0  # s between two looks for new processes


class TreeMeter:
    """The processes below a server's supervisor, which is not one of them.

    Parameters
    ----------
    record
        The server. One in a container gives nothing: its processes are not below its supervisor.
    """

    def __init__(self, record: Record, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = None if record.container else _supervisor(record.supervisor)
        self._clock = clock
        self._walk_at = float("-inf")
        self._known: list[Identity] = []
        self._cpu: dict[Identity, float] = {}

    def read(self) -> dict[str, float]:
        """`cpu_seconds` (user and system, of all since they were first seen) and `rss` (bytes resident, summed).

        Pages that processes share count once for each of them.
        """
        if self._root is None:
            return {}
        if self._clock() >= self._walk_at:
            if not self._root.alive():
                return {}
            self._known = processes.descendants(self._root.pid)
            self._walk_at = self._clock() + _WALK
        resident = 0
        for each in self._known:
            used = processes.usage(each)
            if used is not None:
                self._cpu[each] = used[0]
                resident += used[1]
        if not self._cpu:
            return {}
        return {"cpu_seconds": sum(self._cpu.values()), "rss": float(resident)}


def _supervisor(identity: dict[str, Any]) -> Identity | None:
    try:
        return Identity.from_json(identity)
    except ValueError:
        return None
