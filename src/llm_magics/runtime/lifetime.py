"""When a server's time is over, and why: the owners' lives, idleness, and the words for every way it can end.

Pure rules on a record and a clock; the supervisor asks once a second and acts on the answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from llm_magics.runtime.identity import Identity
from llm_magics.runtime.record import Record

# Why a server was stopped, as `stops_why` of its record; readers compare against these.
ASKED = "it was asked to stop"
TIMED_OUT = "it was not ready in time"
TOLD = f"{TIMED_OUT}, and is told to end"  # a line of the log: what follows is the engine's end and not what it was at
ORPHANED = "its notebook ended"
ORPHANED_OF_SHELL = "its shell or script ended"
IDLE = "it was idle"
KEPT = "it is kept until then"  # of a stop that is planned: what it is stopped for is another reason
REPLACED = "its record is gone"


@dataclass(frozen=True)
class Verdict:
    """What is to happen.

    Attributes
    ----------
    stop
        Stop it now, for the reason in `why`.
    stops_in
        s until it would be stopped, None while nothing is planned.
    why
        The reason, "" without one.
    """

    stop: bool = False
    stops_in: float | None = None
    why: str = ""


def orphaned(record: Record) -> bool:
    """Whether a server that belongs to somebody has no living owner."""
    if record.keep == "detached":
        return False
    for owner in record.owners:
        try:
            if Identity.from_json(owner).alive():
                return False
        except ValueError:
            continue
    return True


def _whose_end(record: Record) -> str:
    """What to call the owners that ended: only a kernel has an id or a notebook."""
    of_notebook = any(owner.get("kernel_id") or owner.get("notebook") for owner in record.owners)
    return ORPHANED if of_notebook or not record.owners else ORPHANED_OF_SHELL


def before_told(log: list[str]) -> list[str]:
    """The lines of a log before the engine was told to end for not being ready in time; all where it was not."""
    at = next((place for place in range(len(log) - 1, -1, -1) if log[place] == TOLD), len(log))
    return log[:at]


class Lifetime:
    """The countdowns of one server; times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._orphan_since: float | None = None
        self._active_at: float | None = None

    def active(self, now: float) -> None:
        """The server did something for somebody, or has just become ready."""
        self._active_at = now

    def judge(self, record: Record, now: float, wall: float | None = None) -> Verdict:
        """What is to happen to a server now: whichever of its ends is nearer, put off where somebody asked for it.

        Parameters
        ----------
        wall
            The same moment as seconds since the epoch, which is what `keep_until` counts in.
        """
        ends = [end for end in (self._orphan_end(record, now), self._idle_end(record)) if end is not None]
        if not ends:
            return Verdict()
        at, why, announce_at = min(ends)
        kept = now + record.keep_until - wall if record.keep_until is not None and wall is not None else at
        if now >= max(at, kept):
            return Verdict(stop=True, why=why)
        if now < announce_at:
            return Verdict()
        return Verdict(stops_in=kept - now, why=KEPT) if kept > at else Verdict(stops_in=at - now, why=why)

    def _orphan_end(self, record: Record, now: float) -> tuple[float, str, float] | None:
        if not orphaned(record):
            self._orphan_since = None
            return None
        if self._orphan_since is None:
            self._orphan_since = now
        grace = record.grace if record.keep == "kernel" else 0.0
        return self._orphan_since + grace, _whose_end(record), self._orphan_since

    def _idle_end(self, record: Record) -> tuple[float, str, float] | None:
        if record.idle is None or self._active_at is None:
            return None
        # Announced when half of it has passed: a record that is rewritten at every request would be noise.
        return self._active_at + record.idle, IDLE, self._active_at + record.idle / 2
