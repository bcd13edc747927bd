"""Reuse or launch: the one way a server comes to life, with a type for each way that can end.

The decision is made under the server's lock, so that two notebooks that start one name at once get one server. The
waiting happens outside of it, by reading the record that the supervisor publishes.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llm_magics.engines.base import Command, Engine
from llm_magics.errors import LaunchError
from llm_magics.runtime import lifetime, ports, scratch
from llm_magics.runtime.environment import allowed, secrets_in, visible_gpus
from llm_magics.runtime.logs import tail
from llm_magics.runtime.outcomes import Differs, Failed, Outcome, PortBusy, Reused, Started, Stopped, TimedOut
from llm_magics.runtime.owner import current_owner, owned
from llm_magics.runtime.plan import Attempt, Plan
from llm_magics.runtime.private_files import write_whole
from llm_magics.runtime.processes import MARK
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.runtime.shown_spec import differences, shown_command, shown_identity
from llm_magics.runtime.start_times import StartTimes
from llm_magics.runtime.stop import stop
from llm_magics.runtime.supervisor_process import SupervisorProcess

if TYPE_CHECKING:
    from llm_magics.spec.server import ServerSpec

_REPORT = 0.2  # s between two calls of `on_progress`
_SHOWN = 40  # lines of the log that a failure shows

Progress = Callable[[Record, str], None]


@dataclass(frozen=True)
class LaunchRequest:
    """What is to run.

    Attributes
    ----------
    spec
        What the user asked for.
    engine, reference
        The adapter, and where the supervisor can import it: `module:attribute`.
    version
        The engine's version, as installed.
    model, served_model
        The model as people name it, and as requests name it; by default what the spec says.
    gpus
        Numbers of the GPUs it may see; empty: what the environment says, or none at all where the spec says `none`.
    owner
        Whose server it is; by default this process's.
    grace
        s that an orphan waits for adoption.
    """

    spec: ServerSpec
    engine: Engine
    reference: str
    version: str = ""
    model: str = ""
    served_model: str = ""
    gpus: Sequence[int] = ()
    owner: Mapping[str, Any] | None = None
    grace: float = 600.0


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
        When the registry cannot be written.
    KeyboardInterrupt
        When interrupted while waiting; a server that this call started is stopped first.
    """
    try:
        registry = registry or Registry()
        found = _reuse_or_start(request, build, replace, registry)
    except OSError as error:
        raise LaunchError(
            f"{request.spec.name} was not started.",
            why=f"the directory of servers cannot be written: {error}",
            then="free some space there, or point JUPYTER_RUNTIME_DIR at a directory of yours",
        ) from error
    if isinstance(found, (Differs, PortBusy)) or not wait:
        return found
    mine = isinstance(found, Started)
    try:
        return _wait(found, registry, on_progress, cancelled)
    except BaseException:
        if mine:
            stop(request.spec.name, registry=registry)
        raise


def _reuse_or_start(
    request: LaunchRequest, build: Callable[[int], Command], replacing: bool, registry: Registry
) -> Started | Reused | Differs | PortBusy:
    name, owner = request.spec.name, dict(request.owner or current_owner())
    registry.prune()
    while True:
        with registry.lock(name):
            record = registry.get(name)
            if record is None or not record.alive:
                return _start(request, build, owner, registry, _recoveries(record))
            if record.state != "stopping" and record.reuse_key == request.spec.reuse_key:
                adopted = _with(owned(record, owner), grace=request.grace, **_longer_life(record, request.spec))
                if adopted != record:
                    registry.write(adopted)
                return Reused(adopted)
            if record.state != "stopping" and not replacing:
                return Differs(record, differences(record.spec, request.spec.identity))
        # Outside of the lock: the supervisor needs it to publish that it has stopped.
        stop(name, registry=registry)


def _recoveries(before: Record | None) -> int:
    """One more than the server before had where that one failed or was lost: a start after a stop is nobody's news."""
    return 0 if before is None else before.recoveries + (before.state in ("failed", "lost"))


def _longer_life(record: Record, spec: ServerSpec) -> dict[str, Any]:
    """What a reuse changes of a server's life: only what was asked for, and never to a shorter one."""
    order = ("cell", "kernel", "detached")
    if "keep" in spec.model_fields_set and order.index(spec.keep) > order.index(record.keep):
        return {"keep": spec.keep, "idle": spec.idle}
    if "idle" in spec.model_fields_set and record.idle is not None and (spec.idle is None or spec.idle > record.idle):
        return {"idle": spec.idle}
    return {}


def _start(
    request: LaunchRequest, build: Callable[[int], Command], owner: dict[str, Any], registry: Registry, recoveries: int
) -> Started | PortBusy:
    spec, engine = request.spec, request.engine
    busy = {port: record.name for record in registry.list() if record.alive and (port := urlsplit(record.url).port)}
    if spec.port is not None and not spec.far and not ports.is_free(spec.host, spec.port):
        server = f"the server {busy[spec.port]}, " if spec.port in busy else ""
        return PortBusy(spec.port, server + ports.holder(spec.port))
    chosen = [spec.port] if spec.port is not None else [ports.free_port(spec.host, busy)]
    if spec.port is None:
        chosen.append(ports.free_port(spec.host, {*busy, *chosen}))
    identifier = secrets.token_hex(16)
    key = secrets.token_urlsafe(24) if engine.key_env else None
    attempts = []
    for port in chosen:
        attempt, key = _attempt(request, build(port), port, key, identifier)
        attempts.append(attempt)
    process = SupervisorProcess(registry, spec.name)
    try:
        supervisor = process.identity
        record = Record(
            id=identifier,
            name=spec.name,
            engine=engine.key,
            engine_version=request.version,
            model=request.model or spec.model,
            served_model=request.served_model or spec.served_model_name or spec.model,
            state="starting",
            created=time.time(),
            host=os.uname().nodename,
            reuse_key=spec.reuse_key,
            spec=shown_identity(spec.identity),
            supervisor=supervisor.to_json() if supervisor else {},
            url=attempts[0].url,
            gpus=list(request.gpus),
            owners=[owner],
            keep=spec.keep,
            idle=spec.idle,
            grace=request.grace,
            command=attempts[0].command,
            container=attempts[0].container,
            node=attempts[0].node,
            scratch=_scratch(attempts),
            log=str(registry.log_path(spec.name)),
            expected=StartTimes(registry.directory).expected(spec.reuse_key),
            timeout=spec.timeout,
            recoveries=recoveries,
        )
        registry.write_key(spec.name, key)
        registry.write(record)
        plan = Plan(
            directory=str(registry.directory),
            record=record.to_json(),
            reference=request.reference,
            path=[str(Path(entry).absolute()) for entry in sys.path],
            key=key,
            cwd=str(Path.cwd()),
            timeout=spec.timeout,
            attempts=attempts,
        )
        process.tell(plan, record)
    except BaseException:
        process.abandon()
        with contextlib.suppress(OSError):
            registry.write_key(spec.name, None)
        raise
    return Started(record)


def _attempt(
    request: LaunchRequest, command: Command, port: int, key: str | None, identifier: str
) -> tuple[Attempt, str | None]:
    """The process for one port, and the key the server will have: one that the user gave by `env:` counts."""
    host, key_env = command.host or request.spec.host, request.engine.key_env
    for path, text in command.files.items():
        write_whole(Path(path), text)
    gpus = visible_gpus(request.gpus, none=request.spec.gpus == "none")
    environment = {**allowed(os.environ), **gpus, **command.env, MARK: identifier}
    environment |= scratch.variables(identifier, environment)
    if key_env is not None and key is not None:
        key = command.env.get(key_env, key)
        environment[key_env] = key
    return Attempt(
        argv=list(command.argv),
        env=environment,
        host=host,
        port=port,
        url=f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}",
        command=shown_command(command, {**gpus, **command.env}, [*secrets_in(environment), *([key] if key else [])]),
        ready_path=command.ready_path,
        container=command.container,
        scratch=command.scratch,
        node=command.node,
        margin=command.margin,
    ), key


def _scratch(attempts: Sequence[Attempt]) -> list[str]:
    """Where something named after the server may be: the folder its temporary one is in, and the launcher's own."""
    own = [str(Path(folder).parent) for attempt in attempts if (folder := attempt.env.get("TMPDIR"))]
    return list(dict.fromkeys([*own, *(folder for attempt in attempts for folder in attempt.scratch)]))


def _wait(
    found: Started | Reused, registry: Registry, on_progress: Progress | None, cancelled: threading.Event | None
) -> Outcome:
    began = time.monotonic()
    reported = 0.0
    name, identifier = found.record.name, found.record.id
    while True:
        record = registry.get(name)
        if record is None or record.id != identifier:
            return Stopped(lifetime.REPLACED)
        if record.state == "ready":
            return type(found)(record)
        if not record.alive:
            return _failure(record, registry)
        now = time.monotonic()
        if on_progress is not None and now - reported >= _REPORT:
            reported = now
            on_progress(record, next(iter(tail(registry.log_path(name), 1)), ""))
        if cancelled is not None and cancelled.is_set():
            if isinstance(found, Started):
                stop(name, registry=registry)
            return Stopped("the launch was cancelled")
        time.sleep(0.02 if now - began < 5 else 0.1)


def _failure(record: Record, registry: Registry) -> Outcome:
    log = tail(registry.log_path(record.name), _SHOWN)
    if record.state == "lost":
        stop(record.name, registry=registry)
        if record.stops_why == lifetime.ASKED:
            return Stopped(lifetime.ASKED)
        why = {"cause": "its supervisor ended unexpectedly", "line": log[-1] if log else "", "remedy": "start it again"}
        return Failed(None, log, why)
    if record.state == "stopped":
        return Stopped(record.stops_why)
    if record.stops_why == lifetime.TIMED_OUT:
        return TimedOut((record.ended_at or time.time()) - record.created, record.stage, log)
    return Failed(record.exit, log, record.diagnosis)


def _with(record: Record, **changes: Any) -> Record:
    return replace(record, **changes)
