"""Reuse or launch: the one way a server comes to life, with a type for each way that can end.

The decision is made under the server's lock, so that two notebooks that start one name at once get one server. The
waiting happens outside of it, by reading the record that the supervisor publishes.
"""

from __future__ import annotations

import errno
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llm_magics import replaced
from llm_magics.engines.base import Command
from llm_magics.errors import LaunchError
from llm_magics.runtime import lifetime
from llm_magics.runtime.logs import tail
from llm_magics.runtime.outcomes import (
    Differs,
    Elsewhere,
    Failed,
    Outcome,
    PortBusy,
    Reused,
    Started,
    Stopped,
    TimedOut,
)
from llm_magics.runtime.owner import current_owner, owned
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.runtime.shown_spec import differences
from llm_magics.runtime.starting import LaunchRequest, start
from llm_magics.runtime.stop import end

if TYPE_CHECKING:
    from llm_magics.spec.server import ServerSpec

_REPORT = 0.2  # s between two calls of `on_progress`
_SHOWN = 40  # lines of the log that a failure shows
_READ = 1000  # lines among which they are looked for: an engine that is told to end may say much
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)  # what a disk says that takes nothing more

Progress = Callable[[Record, str], None]


def launch(
    request: LaunchRequest,
    build: Callable[[int], Command],
    *,
    wait: bool = True,
    replace: bool = False,
    on_progress: Progress | None = None,
    registry: Registry | None = None,
    cancelled: threading.Event | None = None,
) -> Outcome:
    """Start a server, or take the one that runs already.

    Parameters
    ----------
    build
        The process to start when a given port is the server's; called at most twice, before anything starts.
    wait
        Return when the server is ready or has failed; otherwise as soon as its supervisor runs.
    replace
        Stop a server of the same name and another spec first.
    on_progress
        Called about five times a second while waiting, with the record and the log's last line.
    cancelled
        Ends the waiting when set.

    Returns
    -------
    Outcome
        `Started` or `Reused` with a record; anything else says why there is no such server.

    Raises
    ------
    LaunchError
        When the registry cannot be written, or the system refuses the process.
    KeyboardInterrupt
        When interrupted at any moment; a server that this call started is stopped first.
    """
    name, identifier = request.spec.name, secrets.token_hex(16)
    try:
        registry = registry or Registry()
    except OSError as error:
        raise _unwritable(name, error) from error
    try:
        found = _reuse_or_start(request, build, identifier, replace, registry)
        if isinstance(found, (Differs, Elsewhere, PortBusy)) or not wait:
            return found
        return _wait(found, registry, on_progress, cancelled)
    except BaseException as error:
        _take_back(name, identifier, registry)
        if not isinstance(error, OSError):
            raise
        if error.errno in _DISK or str(error.filename or "").startswith(str(registry.directory)):
            raise _unwritable(name, error) from error
        raise LaunchError(f"{name} was not started.", why=f"the system refused: {_said(error)}") from error


def _take_back(name: str, identifier: str, registry: Registry) -> None:
    """End what this launch has begun, where it came so far that there is something."""
    record = registry.read(name)
    if record is not None and record.id == identifier:
        end(record, registry=registry)


def _unwritable(name: str, error: OSError) -> LaunchError:
    return LaunchError(
        f"{name} was not started.",
        why=f"the directory of servers cannot be written: {_said(error)}",
        then="free some space there, or point JUPYTER_RUNTIME_DIR at a directory of yours",
    )


def _said(error: OSError) -> str:
    return ": ".join(str(part) for part in (error.strerror or error, error.filename) if part)


def _reuse_or_start(
    request: LaunchRequest, build: Callable[[int], Command], identifier: str, replacing: bool, registry: Registry
) -> Started | Reused | Differs | Elsewhere | PortBusy:
    name, owner = request.spec.name, dict(request.owner or current_owner())
    registry.prune()
    while True:
        with registry.lock(name):
            record = registry.get(name)
            if record is not None and record.state == "elsewhere":
                return Elsewhere(record)  # its supervisor would stop it if the name became another's
            if record is None or not record.alive:
                return start(request, build, identifier, owner, registry, _recoveries(record))
            if record.state != "stopping" and record.reuse_key == request.spec.reuse_key:
                longer = _longer_life(record, request.spec)
                adopted = replace(owned(record, owner), grace=request.grace, **longer)
                if adopted != record:
                    registry.write(adopted)
                return Reused(adopted, before=record if longer else None)
            if record.state != "stopping" and not replacing:
                return Differs(record, differences(record.spec, request.spec.identity))
        # Outside of the lock: the supervisor needs it to publish that it has stopped.
        end(record, registry=registry)


def _recoveries(before: Record | None) -> int:
    """One more than the server before had where that one failed or was lost: a start after a stop is nobody's news."""
    return 0 if before is None else before.recoveries + (before.state in ("failed", "lost"))


def _longer_life(record: Record, spec: ServerSpec) -> dict[str, Any]:
    """What a reuse changes of a server's life: only what was asked for, and never to a shorter one.

    A stop that was announced for the life before is off; its supervisor announces what is planned now.
    """
    order, off = ("cell", "kernel", "detached"), {"stops_at": None, "stops_why": ""}
    if "keep" in spec.model_fields_set and order.index(spec.keep) > order.index(record.keep):
        return {"keep": spec.keep, "idle": spec.idle, **off}
    if "idle" in spec.model_fields_set and record.idle is not None and (spec.idle is None or spec.idle > record.idle):
        return {"idle": spec.idle, **off}
    return {}


def _wait(
    found: Started | Reused, registry: Registry, on_progress: Progress | None, cancelled: threading.Event | None
) -> Outcome:
    began = time.monotonic()
    reported = 0.0
    name, identifier = found.record.name, found.record.id
    while True:
        record = registry.get(name)
        if record is None:
            return Stopped(lifetime.REPLACED)
        if record.id != identifier:
            return Stopped("somebody else replaced it by another server of this name")
        if record.state == "ready":
            return replace(found, record=record)
        if not record.alive:
            return _failure(record, registry)
        now = time.monotonic()
        if on_progress is not None and now - reported >= _REPORT:
            reported = now
            on_progress(record, next(iter(tail(registry.log_path(name), 1)), ""))
        if cancelled is not None and cancelled.is_set():
            if isinstance(found, Started):
                end(record, registry=registry)
            return Stopped("the launch was cancelled")
        time.sleep(0.02 if now - began < 5 else 0.1)


def _failure(record: Record, registry: Registry) -> Outcome:
    log = tail(registry.log_path(record.name), _SHOWN)
    if record.state == "lost":
        claimed = registry.read(record.name)
        end(record, registry=registry)
        if record.stops_why == lifetime.ASKED:
            return Stopped(lifetime.ASKED)
        why = {"cause": "its supervisor ended unexpectedly", "line": log[-1] if log else "", "remedy": "start it again"}
        # It came to nothing at all, as when what it imports is not what this process knows.
        if claimed is not None and claimed.state == "starting" and (changed := replaced.since_loaded()):
            why = {"cause": replaced.CAUSE, "line": changed, "remedy": replaced.REMEDY}
        return Failed(None, log, why)
    if record.state == "stopped":
        return Stopped(record.stops_why)
    if record.stops_why == lifetime.TIMED_OUT:
        log = lifetime.before_told(tail(registry.log_path(record.name), _READ))[-_SHOWN:]
        return TimedOut((record.ended_at or time.time()) - record.created, record.stage, log)
    return Failed(record.exit, log, record.diagnosis)
