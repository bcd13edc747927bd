"""How many requests a step had in flight, on the average: the concurrency that was achieved, beside the asked one."""

from __future__ import annotations

import time

_clock = time.monotonic_ns


class Held:
    """The requests in flight, integrated over time.

    `mean` is that from `begin` (all streams have started; of an open loop from the start) to the last send: what
    trails out is no load.
    """

    __slots__ = ("_area", "_at", "_since", "mean")

    def __init__(self, at: int, *, begun: bool = False) -> None:
        self._area, self._at = 0, at
        self._since: tuple[int, int] | None = (at, 0) if begun else None
        self.mean = 0.0

    @property
    def begun(self) -> bool:
        """Whether the mean is taken."""
        return self._since is not None

    def begin(self, flying: int) -> None:
        """From here on the mean is taken."""
        self.note(flying)
        self._since = (self._at, self._area)

    def note(self, flying: int, *, sending: bool = False) -> None:
        """So many were in flight until now; another is about to be sent, or one has ended."""
        now = _clock()
        self._area += flying * (now - self._at)
        self._at = now
        if sending and self._since is not None:
            since, area = self._since
            if now > since:
                self.mean = (self._area - area) / (now - since)
