"""From a request to a supervisor that runs: port, key, environment, record and plan, written down in this order.

A launch that is killed anywhere in between leaves a supervisor that was told nothing, which ends by itself, and at
most a record that every reader calls lost.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llm_magics.engines.base import Command, Engine
from llm_magics.errors import LaunchError
from llm_magics.runtime import ports, scratch
from llm_magics.runtime.environment import allowed, secrets_in, visible_gpus
from llm_magics.runtime.outcomes import PortBusy, Started
from llm_magics.runtime.owner import owned
from llm_magics.runtime.plan import Attempt, Plan
from llm_magics.runtime.private_files import write_whole
from llm_magics.runtime.processes import MARK
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.runtime.shown_spec import shown_command, shown_identity
from llm_magics.runtime.start_times import StartTimes
from llm_magics.runtime.supervisor_process import SupervisorProcess

if TYPE_CHECKING:
    from llm_magics.spec.server import ServerSpec


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
    again
        The server that this one is again, where it was away: its starter and its owners stay what they were.
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
    again: Record | None = None


def start(
    request: LaunchRequest,
    build: Callable[[int], Command],
    identifier: str,
    owner: dict[str, Any],
    registry: Registry,
    recoveries: int = 0,
) -> Started | PortBusy:
    """Start the supervisor of a new server; to be called under the lock of its name, when none of it runs.

    Parameters
    ----------
    build
        The process to start when a given port is the server's; called at most twice, before anything starts.
    identifier
        The new server's id, in hexadecimal.
    owner
        Whose it is.
    recoveries
        How many times a server of this name was started again after the one before had failed.

    Raises
    ------
    LaunchError
        When the folder that the engine would work in is gone.
    OSError
        When something of it cannot be written or started; nothing is left then, but where it was interrupted in the
        middle a record whose supervisor is gone.
    """
    spec, engine, cwd = request.spec, request.engine, _folder(request.spec.name)
    busy = {port: record.name for record in registry.list() if record.alive and (port := urlsplit(record.url).port)}
    if spec.port is not None and not spec.far and not ports.is_free(spec.host, spec.port):
        server = f"the server {busy[spec.port]}, " if spec.port in busy else ""
        return PortBusy(spec.port, server + ports.holder(spec.port))
    chosen = [spec.port] if spec.port is not None else [ports.free_port(spec.host, busy)]
    if spec.port is None:
        chosen.append(ports.free_port(spec.host, {*busy, *chosen}))
    # Hexadecimal: a key that begins with a dash is no value of an option to many engines.
    key = secrets.token_hex(24) if engine.key_env else None
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
            starter=request.again.starter if request.again else owner,
            owners=owned(request.again, owner).owners if request.again else [owner],
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
            cwd=cwd,
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


def _folder(name: str) -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        raise LaunchError(
            f"{name} was not started.", why="the folder this runs in has been removed", then="%cd to one that is there"
        ) from None


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
