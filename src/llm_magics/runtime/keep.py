"""Putting off the end of a server that would be stopped for want of work or of owners."""

from __future__ import annotations

import time
from dataclasses import replace

from llm_magics.errors import LLMMagicsError
from llm_magics.runtime import lifetime
from llm_magics.runtime.elsewhere import out_of_reach
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.runtime.unknown import no_server

LONGEST = 7 * 24 * 3600.0  # s; who wants more says `--keep detached`


def keep(name: str, seconds: float, *, registry: Registry | None = None) -> Record:
    """Have a running server live for at least so much longer; an earlier, later promise stays.

    Its supervisor sees it within a second, and moves the planned stop.

    Parameters
    ----------
    seconds
        From now, above 0 and at most `LONGEST`.

    Raises
    ------
    LLMMagicsError
        When there is no such server, it does not run, or the time is out of bounds.
    OSError
        When the record cannot be written.
    """
    registry = registry or Registry()
    if not 0 < seconds <= LONGEST:
        raise LLMMagicsError(
            f"{name} cannot be kept for {seconds:g} s.", why=f"above 0 s and at most {LONGEST / 86400:g} days"
        )
    record = registry.get(name)
    if record is None:
        raise no_server(name, registry)
    if record.state == "elsewhere":
        raise out_of_reach(record, "kept", LLMMagicsError)
    if not record.alive:
        raise LLMMagicsError(f"{name} is {record.state}.", then="`%llm list` shows those that run")
    until = time.time() + seconds
    try:
        return registry.update(name, lambda now: _kept(now, until))
    except KeyError:  # dismissed in between
        raise LLMMagicsError(f"There is no server named {name} any more.", then="%llm list") from None


def _kept(record: Record, until: float) -> Record:
    """A record with the promise; a stop that was announced for earlier is put off at once."""
    kept = replace(record, keep_until=max(until, record.keep_until or 0.0))
    if record.stops_at is not None and record.stops_at < until:
        return replace(kept, stops_at=kept.keep_until, stops_why=lifetime.KEPT)
    return kept
