"""How a monitor is: asked of Prometheus itself, and of the logs where it does not answer."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from llm_magics.errors import LLMMagicsError
from llm_magics.monitor import alerts, programs
from llm_magics.monitor.ask import Prometheus
from llm_magics.monitor.home import Home, State
from llm_magics.monitor.inbox import received
from llm_magics.runtime import processes
from llm_magics.runtime.identity import Identity
from llm_magics.runtime.logs import tail
from llm_magics.runtime.registry import Registry

_FULL = ("the disk is full", "free some space, or point JUPYTER_DATA_DIR at a larger disk")
_ROOM = 64 * 1024  # bytes; with fewer, Prometheus cannot write its next page
_TROUBLE: Sequence[tuple[str, str, str]] = (
    (r"no space left on device|file too large|disk quota exceeded", *_FULL),
    (r"[Aa]ddress already in use", "its port was taken in between", "%llm monitor up"),
    (r"lock DB directory", "another Prometheus uses the same data", "stop that one first: %llm monitor down"),
    (
        r"(?:opening storage failed|corrupt|unexpected non-sequential).*",
        "its data is damaged",
        "%llm monitor down --purge removes it; %llm monitor up starts afresh",
    ),
    (r"permission denied", "it may not read or write its files", "look at the folder's owner: %llm monitor status"),
)

Health = Literal["down", "up", "broken"]


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a program: the reason, its own words, what to do."""

    program: str
    why: str
    line: str
    then: str


@dataclass(frozen=True)
class Status:
    """How the monitor is.

    Attributes
    ----------
    health
        `down`: there is none; `broken`: it was started, and a part of it does not run or work.
    state
        As it was started; None when it is down.
    folder
        Where its data is.
    troubles
        What is wrong.
    targets
        What is scraped: `server`, `job`, `health` (`up`, `down`, `unknown`), `error`.
    left_out
        Running servers that are not scraped -> why.
    rules
        Alerting rules that Prometheus has loaded.
    alerts
        Alerts that are pending or fire, as Prometheus says them.
    received
        Alerts that have arrived here, oldest first (see `inbox.received`).
    """

    health: Health
    folder: str
    state: State | None = None
    troubles: list[Trouble] = field(default_factory=list)
    targets: list[dict[str, str]] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    rules: int = 0
    alerts: list[dict[str, Any]] = field(default_factory=list)
    received: list[dict[str, Any]] = field(default_factory=list)

    @property
    def limits(self) -> dict[str, tuple[float, str]]:
        """What the alerts compare with: name -> value and unit; none when it is down."""
        return {} if self.state is None else alerts.with_units(self.state.limits)


def status(*, home: Home | None = None) -> Status:
    """How the monitor is, asked of Prometheus itself."""
    home = home or Home()
    state = home.state()
    arrived = received(home.inbox)
    if state is None:
        return Status("down", str(home.path), received=arrived)
    found = troubles(home, state)
    asked = Prometheus(state.prometheus)
    try:
        targets = [_target(each) for each in asked.targets()]
        loaded = [rule for rule in asked.rules() if rule["type"] == "alerting"]
        firing = asked.alerts()
    except LLMMagicsError as error:
        if not found:
            found.append(Trouble("prometheus", "it does not answer", error.why, "%llm monitor up"))
        return Status("broken", str(home.path), state, found, received=arrived)
    found += [
        Trouble("prometheus", f"the rule {rule['name']} fails", str(rule.get("lastError", "")), "%llm monitor up")
        for rule in loaded
        if rule.get("health") == "err" and not found
    ]
    return Status(
        "broken" if found else "up", str(home.path), state, found, targets, _left_out(), len(loaded), firing, arrived
    )  # fmt: skip


def wait_for(
    alert: str,
    state: Literal["firing", "resolved"] = "firing",
    *,
    server: str = "",
    since: float = 0.0,
    timeout: float = 120.0,
    home: Home | None = None,
) -> dict[str, Any] | None:
    """Wait until an alert has arrived in the inbox; for tests and lessons.

    Parameters
    ----------
    server
        Of this server only.
    since
        s since the epoch; earlier arrivals do not count.

    Returns
    -------
    dict or None
        The first such arrival; None when none came within `timeout` s.
    """
    home = home or Home()
    deadline = time.monotonic() + timeout
    while True:
        for each in received(home.inbox):
            fits = each["alert"] == alert and each["status"] == state and each["at"] >= since
            if fits and (not server or each["labels"].get("server") == server):
                return each
        if time.monotonic() > deadline:
            return None
        time.sleep(0.2)


def troubles(home: Home, state: State, *, starting: bool = False) -> list[Trouble]:
    """What of a monitor does not run, and why, in the words of its log."""
    if not state.alive:
        return [Trouble("monitor", "its process is gone", "", "%llm monitor up")]
    found: list[Trouble] = []
    # First what was said: a program that comes to life between the two looks is no dead one.
    began = {name for name in programs.NAMES if not starting or _began(home, name)}
    running = _running(state)
    for name in programs.NAMES:
        if name not in running and name in began:
            found.append(_trouble(home, name, "it has ended"))
        elif not starting and any(
            re.search(_TROUBLE[0][0], line) for line in _lately(home, name, 10 + 3 * state.every)
        ):
            found.append(_trouble(home, name, "it cannot write"))
    return found


def _lately(home: Home, name: str, seconds: float) -> list[str]:
    """What a program said in the last so many seconds: an old error may be over."""
    since = time.time() - seconds
    return [line for line in tail(home.log(name), 20) if (at := _moment(line)) is None or at >= since]


def _moment(line: str) -> float | None:
    """When a line of logfmt was written, s since the epoch; `ts=` until version 2, `time=` from version 3."""
    found = re.match(r"(?:ts|time)=(\S+)", line)
    try:
        return datetime.fromisoformat(found[1].replace("Z", "+00:00")).timestamp() if found else None
    except ValueError:
        return None


def _began(home: Home, name: str) -> bool:
    """Whether a program has said anything yet: before, it may not have been started."""
    return bool(tail(home.log(name), 1))


def _running(state: State) -> set[str]:
    """Which of the two run: children of our process, told apart by the port in their command."""
    found: set[str] = set()
    try:
        parent = Identity.from_json(state.process)
    except ValueError:
        return found
    for child in processes.descendants(parent.pid):
        said = processes.command_of(child.pid)
        for name in programs.NAMES:
            if f":{urlsplit(getattr(state, name)).port}" in said and "--web.listen-address" in said:
                found.add(name)
    return found


def _trouble(home: Home, name: str, otherwise: str) -> Trouble:
    log = tail(home.log(name), 20)
    for pattern, why, then in _TROUBLE:
        for line in reversed(log):
            if re.search(pattern, line):
                return Trouble(name, why, _short(line), then)
    # On a full disk the last words of a program may not have come into its log, which is on that disk too.
    if (free := shutil.disk_usage(home.path).free) < _ROOM:
        return Trouble(name, _FULL[0], f"{free} bytes are free at {home.path}", _FULL[1])
    return Trouble(name, otherwise, _short(log[-1]) if log else "", "%llm monitor up")


def _short(line: str) -> str:
    """The message of a line of logfmt, which begins with time, level and place."""
    found = re.search(r'(?:err|msg)="((?:[^"\\]|\\.)*)"', line[line.find("err=") if "err=" in line else 0 :])
    return found[1].replace('\\"', '"') if found else line


def _target(given: Mapping[str, Any]) -> dict[str, str]:
    labels = given.get("labels", {})
    return {
        "server": str(labels.get("server", "")),
        "job": str(labels.get("job", "")),
        "health": str(given.get("health", "")),
        "error": str(given.get("lastError", "")),
    }


def _left_out() -> dict[str, str]:
    from llm_magics.monitor.process import adapter
    from llm_magics.monitor.targets import targets

    return targets(Registry().list(), adapter, lambda _: False).left_out
