"""Up, down and status: the one way a monitor comes to life, ends, and is asked how it is.

One monitor a user and machine. `up` is idempotent: what runs as it was asked to is left alone; what runs otherwise, or
has lost one of its programs, is stopped and started with its data kept.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from llm_magics.errors import LaunchError, LLMMagicsError
from llm_magics.monitor import alerts, config, programs
from llm_magics.monitor.ask import Prometheus
from llm_magics.monitor.health import Trouble, troubles
from llm_magics.monitor.home import Home, State
from llm_magics.monitor.process import Plan
from llm_magics.runtime import containers, ports, processes
from llm_magics.runtime.environment import allowed
from llm_magics.runtime.identity import Identity, of
from llm_magics.runtime.logs import tail
from llm_magics.runtime.private_files import open_log, write_whole
from llm_magics.runtime.registry import Registry
from llm_magics.runtime.supervisor_process import own_environment
from llm_magics.spec.monitor import MonitorSpec

_HOST = "127.0.0.1"
_READY = 60.0  # s for both to be ready; an image may have to be fetched first
_FETCHED = 600.0
_QUICK = 2.0  # s: who looks this often wants to hear of a change at once


@dataclass(frozen=True)
class Up:
    """What `up` did: the monitor, and whether it ran already."""

    state: State
    reused: bool


def up(spec: MonitorSpec | None = None, *, home: Home | None = None, registry: Registry | None = None) -> Up:
    """Start the monitor, or leave the one alone that runs as asked.

    Raises
    ------
    SpecError
        For a limit that there is not.
    LaunchError
        When Prometheus or Alertmanager is not here, a port is taken, or one of them does not become ready.
    """
    spec, home, registry = spec or MonitorSpec(), home or Home(), registry or Registry()
    limits = alerts.settled(spec.limits)
    try:
        with home.lock():
            state = home.state()
            if state is not None and _as_asked(state, spec, limits) and not troubles(home, state):
                return Up(state, reused=True)
            kept = _kept(state, spec)
            if state is not None:
                _end(home, state)
            on, found = programs.find(spec.on, home, registry.directory)
            return Up(_start(spec, limits, on, found, kept, home, registry), reused=False)
    except OSError as error:
        raise LaunchError(
            "The monitor was not started.",
            why=f"its folder cannot be written: {error}",
            then="free some space there, or point JUPYTER_DATA_DIR at a directory of yours",
        ) from error


def down(*, purge: bool = False, home: Home | None = None) -> bool:
    """Stop the monitor and see that nothing of it runs; `purge` removes its measurements too.

    Returns
    -------
    bool
        Whether there was one.

    Raises
    ------
    LLMMagicsError
        When a process of it cannot be ended.
    """
    home = home or Home()
    if not home.path.exists():
        return False
    with home.lock():
        state = home.state()
        if state is not None:
            _end(home, state)
    if purge:
        home.purge()
    return state is not None


# Starting -------------------------------------------------------------------------------------------------------------


def _as_asked(state: State, spec: MonitorSpec, limits: Mapping[str, float]) -> bool:
    """Whether what runs is what was asked for; what was not said is right as it is."""
    said = spec.model_fields_set
    return (
        ("on" not in said or spec.on in ("auto", state.on))
        and ("port" not in said or spec.port == urlsplit(state.prometheus).port)
        and ("alertmanager_port" not in said or spec.alertmanager_port == urlsplit(state.alertmanager).port)
        and ("limits" not in said or dict(limits) == state.limits)
        and ("every" not in said or spec.every == state.every)
        and ("hold" not in said or spec.hold == state.hold)
        and ("retention" not in said or spec.retention == state.retention)
    )


def _kept(state: State | None, spec: MonitorSpec) -> dict[str, int]:
    """Ports of the monitor that this one takes the place of: bookmarks and a Grafana go on working."""
    if state is None:
        return {}
    before = {name: urlsplit(getattr(state, name)).port for name in programs.NAMES}
    asked = {"prometheus": spec.port, "alertmanager": spec.alertmanager_port}
    return {name: port for name, port in before.items() if port is not None and asked[name] is None}


def _start(
    spec: MonitorSpec,
    limits: dict[str, float],
    on: str,
    found: Sequence[programs.Program],
    kept: Mapping[str, int],
    home: Home,
    registry: Registry,
) -> State:
    listening = _ports(spec, kept)
    at = {name: f"{_HOST}:{port}" for name, port in listening.items()}
    token, identifier = secrets.token_urlsafe(24), secrets.token_hex(16)
    home.make()
    write_whole(home.token, token)
    rules = config.rule_files(limits, every=spec.every, hold=spec.hold)
    for name, text in rules.items():
        write_whole(home.rules / name, text)
    write_whole(
        home.config / "alertmanager.yml", config.alertmanager(home, inbox=at["inbox"], quick=spec.every <= _QUICK)
    )
    by_name = {program.name: program for program in found}
    boxes = {program.name: program.container for program in found if program.container}
    plan = Plan(
        home=str(home.path),
        registry=str(registry.directory),
        commands={
            "alertmanager": programs.alertmanager(by_name["alertmanager"], home, listening["alertmanager"]),
            "prometheus": programs.prometheus(
                by_name["prometheus"], home, listening["prometheus"], retention=spec.retention, size=spec.size
            ),
        },
        containers=boxes,
        env={**allowed(os.environ), **programs.client_environment(), processes.MARK: identifier},
        ports=listening,
        token=token,
        every=spec.every,
    )
    for name in programs.NAMES:  # what is said below is of this start
        open_fresh(home.log(name))
    process = _spawn(plan, home, identifier)
    state = State(
        id=identifier,
        process=(of(process.pid) or Identity(process.pid, 0, "", 0)).to_json(),
        prometheus=f"http://{at['prometheus']}",
        alertmanager=f"http://{at['alertmanager']}",
        inbox=f"http://{at['inbox']}",
        on=on,
        limits=limits,
        every=spec.every,
        hold=spec.hold,
        retention=spec.retention,
        rules=sum(text.count("- alert: ") for text in rules.values()),
        started=time.time(),
        versions={program.name: program.version for program in found},
        containers=list(boxes.values()),
    )
    try:
        home.write_state(state)
        _await_ready(home, state, process)
    except BaseException:
        _end(home, state)
        process.wait()
        raise
    return state


def _ports(spec: MonitorSpec, kept: Mapping[str, int]) -> dict[str, int]:
    asked = {"prometheus": spec.port, "alertmanager": spec.alertmanager_port}
    for name, port in asked.items():
        if port is not None and not ports.is_free(_HOST, port):
            raise LaunchError(
                f"{name.capitalize()} was not started: port {port} is taken.",
                why=f"{ports.holder(port)} listens there",
                then=f"leave --{'' if name == 'prometheus' else 'alertmanager-'}port out so that a free one is chosen, "
                "or stop that one",
            )
    taken = {port for port in asked.values() if port is not None}
    found = {}
    for name in (*programs.NAMES, "inbox"):
        before = kept.get(name)
        port = asked.get(name) or (before if before and ports.is_free(_HOST, before) else None)
        found[name] = port or ports.free_port(_HOST, taken)
        taken.add(found[name])
    return found


def _spawn(plan: Plan, home: Home, identifier: str) -> subprocess.Popen[bytes]:
    log = open_log(home.log("monitor"), fresh=True)
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "llm_magics.monitor.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,  # the end of the notebook's kernel is not the monitor's
            env={**own_environment(), **_jupyter(), processes.MARK: identifier},
            cwd="/",
        )
    finally:
        os.close(log)
    assert process.stdin is not None  # noqa: S101 - a pipe was asked for
    try:
        with process.stdin as pipe:
            pipe.write(plan.dump())
    except BrokenPipeError:
        pass  # it died already: whoever waits for it sees that
    threading.Thread(target=process.wait, name="llm-magics-reaper", daemon=True).start()  # leave no zombie
    return process


def _jupyter() -> dict[str, str]:
    """Where Jupyter keeps its things: the registry's records name logs and keys there."""
    return {key: os.environ[key] for key in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR") if key in os.environ}


def open_fresh(path: Path) -> None:
    """Empty a log."""
    os.close(open_log(path, fresh=True))


def _await_ready(home: Home, state: State, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + (_READY if state.on == "local" else _FETCHED)
    waiting = dict.fromkeys(programs.NAMES)
    while waiting and time.monotonic() < deadline:
        for name in list(waiting):
            url = state.prometheus if name == "prometheus" else state.alertmanager
            if Prometheus(url).ready():  # both have the same page
                del waiting[name]
        if process.poll() is not None:
            said = tail(home.log("monitor"), 5)
            raise LaunchError("The monitor ended at its start.", why="\n".join(said), then="%llm monitor up")
        if wrong := [each for each in troubles(home, state, starting=True) if each.program in waiting]:
            raise _refused(wrong[0])
        time.sleep(0.05)
    if waiting:
        name = next(iter(waiting))
        raise LaunchError(
            f"{name.capitalize()} did not become ready within {_READY:g} s.",
            why="\n".join(tail(home.log(name), 3)),
            then="%llm monitor up",
        )


def _refused(trouble: Trouble) -> LaunchError:
    return LaunchError(
        f"{trouble.program.capitalize()} was not started: {trouble.why}.", why=trouble.line, then=trouble.then
    )


# Ending ---------------------------------------------------------------------------------------------------------------


def _end(home: Home, state: State, timeout: float = 30.0) -> None:
    """End every process of a monitor, its containers, and what its start made."""
    if state.alive:
        own = Identity.from_json(state.process)
        processes.send(own, signal.SIGTERM)
        deadline = time.monotonic() + timeout
        while own.alive() and time.monotonic() < deadline:
            time.sleep(0.02)
    left = processes.end(lambda: processes.marked(state.id))
    for container in state.containers:
        if shutil.which(container.get("tool", "")):
            containers.remove(container)
    if left:
        pids = ", ".join(str(process.pid) for process in left)
        raise LLMMagicsError(
            "The monitor could not be stopped.",
            why=f"processes {pids} do not end, not even when killed",
            then=f"look at them with: ps -fp {pids.replace(' ', '')}",
        )
    home.forget()
