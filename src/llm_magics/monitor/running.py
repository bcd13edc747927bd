"""Up, down and status: the one way a monitor comes to life, ends, and is asked how it is.

One monitor a user and machine. `up` is idempotent: what runs as it was asked to is left alone; what runs otherwise, or
has lost one of its programs, is stopped and started with its data kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from llm_magics.errors import LaunchError
from llm_magics.monitor import alerts, programs
from llm_magics.monitor.ending import end
from llm_magics.monitor.health import troubles
from llm_magics.monitor.home import Home, State
from llm_magics.monitor.starting import start
from llm_magics.runtime.registry import Registry
from llm_magics.spec.monitor import MonitorSpec


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
                end(home, state)
            on, found = programs.find(spec.on, home, registry.directory)
            return Up(start(spec, limits, on, found, kept, home, registry), reused=False)
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
            end(home, state)
    if purge:
        home.purge()
    return state is not None


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
