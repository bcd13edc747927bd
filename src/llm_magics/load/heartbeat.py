"""A hundred times a second the worker looks at itself: how late it wakes is how far its stamps may be off.

The same beat does what can wait (rows, requests to come), so that nothing of it happens while an answer is read.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Callable

from llm_magics.load.alarm import Alarm

BEAT = 10_000_000  # ns


class Heartbeat:
    """Calls `work(beat number)` every 10 ms and keeps how late each beat was (ns)."""

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Callable[[int], None]) -> None:
        self.lateness = array("q")
        self._work = work
        self._count = 0
        self._next = time.monotonic_ns() + BEAT
        self._alarm = Alarm(loop, self._beat)
        self._alarm.set(self._next)

    def stop(self) -> None:
        """No more beats."""
        self._alarm.close()

    def _beat(self) -> None:
        now = time.monotonic_ns()
        self.lateness.append(now - self._next)
        self._count += 1
        self._work(self._count)
        self._next += BEAT
        if self._next < now:  # a beat that was missed is counted by its lateness, not made up for
            self._next = now + BEAT
        self._alarm.set(self._next)


def percentile(values: array[int], share: float) -> float:
    """The value (s) that a share of the values (ns) do not exceed; 0 without any."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1e9
