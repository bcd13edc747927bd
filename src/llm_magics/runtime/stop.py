"""Stopping a server, and being sure of it: asked in order first, ended by force where nobody is left to ask."""

from __future__ import annotations

import contextlib
import signal
import time
from dataclasses import replace

from llm_magics.errors import LLMMagicsError
from llm_magics.runtime import lifetime, processes
from llm_magics.runtime.elsewhere import out_of_reach
from llm_magics.runtime.gpus import wait_until_released
from llm_magics.runtime.identity import Identity
from llm_magics.runtime.leftovers import named, sweep
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.runtime.unknown import no_server

_PAUSE = 0.02  # s between two looks


def stop(name: str, *, timeout: float = 60.0, registry: Registry | None = None) -> Record:
    """Stop a server and wait until nothing of it runs. A server that has ended already stays as it is.

    Parameters
    ----------
    timeout
        s that the supervisor may take to end the engine in order; then everything is killed.

    Returns
    -------
    Record
        The last record, its state `stopped` or `failed`.

    Raises
    ------
    LLMMagicsError
        When there is no such server, it runs on another host, a process of it cannot be ended, or the disk does not
        take the last record.
    """
    registry = registry or Registry()
    record = registry.get(name)
    if record is None:
        raise no_server(name, registry)
    return end(record, timeout=timeout, registry=registry)


def end(record: Record, *, timeout: float = 60.0, registry: Registry | None = None) -> Record:
    """Stop exactly the server of a record: one that has taken its name meanwhile is another's, and left alone.

    Returns and raises what `stop` does; a server whose record is gone has stopped.
    """
    registry = registry or Registry()
    record = _latest(registry, record)
    seen = registry.get(record.name)
    if seen is not None and seen.id == record.id and seen.state == "elsewhere":
        raise out_of_reach(seen, "stopped", LLMMagicsError, f"on {seen.host}: llm-magics stop {seen.name}")
    if not record.alive and record.state != "lost":
        return record
    held = [process.pid for process in named(record)]
    supervisor = _supervisor(record)
    if supervisor is not None:
        _announce(registry, record)
        processes.send(supervisor, signal.SIGTERM)
        _until_gone(supervisor, timeout)
        if supervisor.alive():
            _force(supervisor)
    left = sweep(_latest(registry, record), thorough=True)
    if left:
        pids = ", ".join(str(process.pid) for process in left)
        raise LLMMagicsError(
            f"{record.name} could not be stopped.",
            why=f"processes {pids} do not end, not even when killed; a driver call may hang",
            then=f"look at them with: ps -fp {pids.replace(' ', '')}",
        )
    if record.gpus:
        wait_until_released(held)
    return _closed(registry, record)


def dismiss(name: str, *, registry: Registry | None = None) -> None:
    """Remove the record, log and key of a server that does not run, and of one that is lost what it left running.

    Raises
    ------
    LLMMagicsError
        When it runs, here or on another host, or there is none of this name.
    """
    registry = registry or Registry()
    if not registry.exists(name):
        raise no_server(name, registry)
    registry.get(name)  # ends what a lost one left; here, for its lock is held for moments only
    if not registry.remove(name):
        record = registry.get(name)
        if record is not None and record.state == "elsewhere":
            raise out_of_reach(record, "dismissed", LLMMagicsError)
        raise LLMMagicsError(f"{name} is running.", then=f"%llm stop {name}")


def _announce(registry: Registry, stopping: Record) -> None:
    """Put the reason down first: a supervisor that has only just been started ends without a word of its own."""

    def change(record: Record) -> Record:
        ours = record.id == stopping.id and record.alive and record.state != "stopping"
        return replace(record, stops_why=lifetime.ASKED) if ours else record

    with contextlib.suppress(OSError, KeyError):
        registry.update(stopping.name, change)


def _supervisor(record: Record) -> Identity | None:
    try:
        supervisor = Identity.from_json(record.supervisor)
    except ValueError:
        return None
    return supervisor if supervisor.alive() else None


def _until_gone(process: Identity, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while process.alive() and time.monotonic() < deadline:
        time.sleep(_PAUSE)


def _force(supervisor: Identity) -> None:
    """The supervisor itself hangs: take its tree down first, while it is still the one to adopt orphans."""
    processes.end(lambda: processes.descendants(supervisor.pid) if supervisor.alive() else [])
    processes.send(supervisor, signal.SIGKILL)
    _until_gone(supervisor, 5.0)


def _closed(registry: Registry, stopped: Record) -> Record:
    """The final record; written here when the supervisor could not."""

    def close(record: Record) -> Record:
        if record.id != stopped.id or not record.alive:
            return record
        with contextlib.suppress(OSError):
            registry.write_key(record.name, None)
        return replace(_ended(record), ended_at=time.time())

    try:
        last: Record | None = registry.update(stopped.name, close)
    except KeyError:  # dismissed in between
        last = None
    except OSError as error:
        raise LLMMagicsError(
            f"{stopped.name} is stopped, but that could not be written down.",
            why=f"{error.strerror or error}: {registry.directory}",
            then="until the disk takes it, the list calls it lost",
        ) from error
    if last is not None and last.id == stopped.id:
        return last
    return _ended(stopped)


def _ended(record: Record) -> Record:
    """A server's record when nothing of it runs any more; what was only announced is not what it ended by."""
    why = record.stops_why if record.state == "stopping" else lifetime.ASKED
    return replace(record, state="stopped", stage="", stops_at=None, stops_why=why or lifetime.ASKED)


def _latest(registry: Registry, record: Record) -> Record:
    """What stands in the file of this very server; the record itself where the file is gone or another server's."""
    now = registry.read(record.name)
    return now if now is not None and now.id == record.id else record
