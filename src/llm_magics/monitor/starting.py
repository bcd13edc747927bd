"""From a wish to a monitor that is ready: ports, rules, configuration, the process that is the parent of both."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from llm_magics import replaced
from llm_magics.errors import LaunchError
from llm_magics.monitor import config, programs
from llm_magics.monitor.ask import Prometheus
from llm_magics.monitor.ending import end
from llm_magics.monitor.health import Trouble, troubles
from llm_magics.monitor.home import Home, State
from llm_magics.monitor.process import Plan
from llm_magics.runtime import ports, processes
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


def start(
    spec: MonitorSpec,
    limits: dict[str, float],
    on: str,
    found: Sequence[programs.Program],
    kept: Mapping[str, int],
    home: Home,
    registry: Registry,
) -> State:
    """Start both programs and wait until they are ready; what was begun is ended when they are not.

    Parameters
    ----------
    limits
        All of them (see `alerts.settled`).
    on, found
        `local` or the container tool, and the programs there (see `programs.find`).
    kept
        Ports to take again, where they are free.

    Raises
    ------
    LaunchError
        When a port is taken, or a program does not become ready.
    """
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
                by_name["prometheus"],
                home,
                listening["prometheus"],
                every=spec.every,
                retention=spec.retention,
                size=spec.size,
            ),
        },
        containers=boxes,
        env={**allowed(os.environ), **programs.client_environment(), processes.MARK: identifier},
        ports=listening,
        token=token,
        every=spec.every,
    )
    for name in programs.NAMES:  # what is said below is of this start
        _open_fresh(home.log(name))
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
        end(home, state)
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


def _open_fresh(path: Path) -> None:
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
            if changed := replaced.since_loaded():
                raise LaunchError(f"The monitor did not start: {replaced.CAUSE}.", why=changed, then=replaced.REMEDY)
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
