"""CPU time, memory and paging of a server's processes while a run goes on, each verified by its identity first.

Walking the whole process table costs milliseconds, so it is walked every few seconds; in between only the known
processes are read. CPU time and faults of one that ended stay in the sums, so that these never fall.
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
        The server. One in a container or on a node gives nothing: its processes are not below its supervisor.
    """

    def __init__(self, record: Record, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = None if record.container or record.node else _supervisor(record.supervisor)
        self._clock = clock
        self._walk_at = float("-inf")
        self._known: list[Identity] = []
        self._cpu: dict[Identity, float] = {}
        self._faults: dict[Identity, int] = {}

    def read(self) -> dict[str, float]:
        """`cpu_seconds` (user and system, of all since they were first seen) and `rss` (bytes resident, summed).

        Where the system tells, `major_faults` (pages waited for) and `swapped` (bytes). Shared pages count once
        for each process.
        """
        if self._root is None:
            return {}
        if self._clock() >= self._walk_at:
            if not self._root.alive():
                return {}
            self._known = processes.descendants(self._root.pid)
            self._walk_at = self._clock() + _WALK
        resident, swapped = 0, 0
        for each in self._known:
            used = processes.usage(each)
            if used is not None:
                self._cpu[each] = used[0]
                resident += used[1]
            paged = processes.paging(each)
            if paged is not None:
                self._faults[each] = paged[0]
                swapped += paged[1]
        if not self._cpu:
            return {}
        found = {"cpu_seconds": sum(self._cpu.values()), "rss": float(resident)}
        if self._faults:
            found |= {"major_faults": float(sum(self._faults.values())), "swapped": float(swapped)}
        return found


def _supervisor(identity: dict[str, Any]) -> Identity | None:
    try:
        return Identity.from_json(identity)
    except ValueError:
        return None
