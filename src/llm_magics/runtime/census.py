"""What a server's record says of its processes and shared memory: who comes after a killed supervisor has to find them.

The tree is walked every second while the engine starts, later every ten: by then its workers are all there.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from llm_magics.runtime import scratch
from llm_magics.runtime.engine_process import EngineProcess
from llm_magics.runtime.identity import Identity
from llm_magics.runtime.published import Published

_COUNT = 1.0, 10.0  # s between two counts of the tree: while loading, when ready
_LOOK = 2.0, 60.0  # s between two looks at shared memory: a process's map is long, and not read at every count


class Census:
    """Keeps one server's record up to date.

    Parameters
    ----------
    published
        The record.
    """

    def __init__(self, published: Published) -> None:
        self._published = published
        self._next_count = self._next_look = 0.0

    def due(self) -> None:
        """Have the next `take` count and look, whenever the last one was."""
        self._next_count = self._next_look = 0.0

    def take(self, process: EngineProcess) -> None:
        """Count and look, where it is time to."""
        now = time.monotonic()
        if now < self._next_count or process.identity is None:
            return
        record = self._published.record
        self._next_count = now + _COUNT[record.state == "ready"]
        found = process.tree()
        tree = [each.to_json() for each in found]
        if tree and tree != (record.process or {}).get("tree"):
            self._published.change(process={**process.identity.to_json(), "tree": tree})
        if now >= self._next_look:
            self._next_look = now + _LOOK[record.state == "ready"]
            self.note_shared(found)

    def note_shared(self, tree: Iterable[Identity]) -> None:
        """Shared memory that some processes use now: not all of it goes with them."""
        known = set(self._published.record.shared)
        if fresh := scratch.shared_by(tree) - known:
            self._published.change(shared=sorted(known | fresh))
