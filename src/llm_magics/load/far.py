"""One load worker on a node of a cluster: its clock against ours, what it has said, what became of it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

from llm_magics.cluster import clock
from llm_magics.cluster.clock import Offset
from llm_magics.cluster.place import NodeLost, Place

SILENCE = 15.0  # s without an answer after which a node counts as lost
_AUDITED = ("core", "loop_lag_p99", "send_lag_p99")
_WORDS = 20  # lines of what it says on stderr that are kept


def offset_of(place: Place) -> Offset:
    """A node's clock against ours, now; NodeLost when it does not answer."""
    return clock.measure(lambda: int(place.call("clock", seconds=SILENCE)), time.monotonic_ns)


@dataclass
class Far:
    """One worker on a node, and what is known of it.

    Attributes
    ----------
    offset, latest
        Its clock when the run began, by which its rows are in our seconds, and the last time it was asked for.
    drift
        ns by which the two differ beyond what their bounds allow, at most.
    progress
        The last that its worker told.
    code, lost
        Exit status of its worker; why there is none, "" while there is no such reason.
    words
        The last lines that its worker wrote to stderr.
    requests
        Rows that came.
    """

    number: int
    place: Place
    offset: Offset
    drift: int = 0
    progress: dict[str, Any] | None = None
    code: int | None = None
    lost: str = ""
    words: list[str] = field(default_factory=list)
    audits: list[dict[str, Any]] = field(default_factory=list)
    requests: int = 0
    rest: dict[str, bytes] = field(default_factory=lambda: {"out": b"", "err": b"", "rows": b""})

    def __post_init__(self) -> None:
        self.latest = self.offset

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.code is not None or bool(self.lost)

    def ask_the_time(self) -> None:
        """Take the offset again; the rows keep the first one, so what it moved by is part of their error."""
        try:
            self.latest = offset_of(self.place)
        except NodeLost:
            return  # whoever follows it says so
        apart = self.offset.drift(self.latest) - self.offset.error - self.latest.error
        self.drift = max(self.drift, apart, 0)

    def there(self, ours: int) -> int:
        """A moment of our clock on its clock, as that is now (ns)."""
        moved = self.latest.offset - self.offset.offset
        noise = abs(moved) <= self.offset.error + self.latest.error
        return self.offset.there(ours) + (0 if noise else moved)

    def lines(self, name: str, data: bytes) -> list[bytes]:
        """Whole lines of one of its streams, with what was left over of the last time."""
        *lines, self.rest[name] = (self.rest[name] + data).split(b"\n")
        return [line for line in lines if line]

    def hear(self, line: bytes) -> None:
        """A line from stderr: its worker's exit status, or words."""
        if line.startswith(b'{"exit"'):
            self.code = int(json.loads(line)["exit"])
        elif line.strip():
            self.words = [*self.words[-_WORDS:], line.decode("utf-8", "replace")]

    def row(self) -> dict[str, Any]:
        """The node in the spool: its clock (s), and what its worker said of itself, the worst of all steps."""
        worst = {key: max((audit[key] for audit in self.audits), default=0.0) for key in _AUDITED}
        return {
            "kind": "node", "worker": self.number, "node": self.place.ip, "id": self.place.id[:12],
            "offset": self.offset.offset / 1e9, "error": (self.offset.error + self.drift) / 1e9,
            "drift": self.drift / 1e9, "requests": self.requests, **worst, **({"lost": self.lost} if self.lost else {}),
        }  # fmt: skip
