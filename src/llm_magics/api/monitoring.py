"""The monitor's door: started and stopped, asked how it is, its panels shown while they change.

What is done here is noted for the learning path: rules that Prometheus has loaded, alerts that fired and resolved.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magics.errors import LLMMagicsError, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_magics.monitor.health import Status
    from llm_magics.monitor.running import Up
    from llm_magics.views.monitor import Panels

_POINTS = 90  # most points of a line
_FRAME = 1.0  # s between two looks at Prometheus
# Panels: title, unit, (recorded signal or PromQL, dashed) of its lines, factor, limit.
_PANELS: tuple[tuple[str, str, tuple[tuple[str, bool], ...], float, str], ...] = (
    ("Requests running, waiting (dotted)", "requests", (("llm:running", False), ("llm:waiting", True)), 1, ""),
    ("Tokens generated", "tok/s", (("llm:output_rate", False),), 1, ""),
    ("TTFT, 95th percentile", "ms", (("llm:ttft_p95", False),), 1000, "ttft"),
    ("Time per output token, 95th percentile or mean", "ms", (("llm:tpot_p95 or llm:tpot_mean", False),), 1000, "tpot"),
    ("KV cache in use", "%", (("llm:kv_usage", False),), 100, "kv"),
    ("Memory", "MiB", (("llm_server_memory_bytes", False),), 1 / 2**20, ""),
)


def up(**options: Any) -> Up:
    """Start Prometheus and Alertmanager; options as in `MonitorSpec` (errors as in `monitor.running.up`)."""
    from llm_magics.api.learning import note
    from llm_magics.monitor import running
    from llm_magics.monitor.ask import Prometheus
    from llm_magics.spec.monitor import MonitorSpec
    from llm_magics.spec.reading import build

    made = running.up(build(MonitorSpec, options))
    loaded = [rule for rule in Prometheus(made.state.prometheus).rules() if rule["type"] == "alerting"]
    note("monitored", {"rules": len(loaded), "on": made.state.on})
    return made


def down(*, purge: bool = False) -> bool:
    """Stop them; whether they ran. `purge` removes what was measured (errors as in `monitor.running.down`)."""
    from llm_magics.monitor import running

    status()  # what has arrived until now is noted
    return running.down(purge=purge)


def status() -> Status:
    """How the monitor is (see `monitor.health.Status`)."""
    from llm_magics.monitor.health import status

    found = status()
    _note(found.received)
    if (answering := sum(each["health"] == "up" for each in found.targets if each["job"] == "engines")) > 0:
        _note_once("scraped", {"targets": answering}, f"scraped:{found.state.id if found.state else ''}:{answering}")
    return found


def wait_for(alert: str, state: Any = "firing", *, server: str = "", since: float = 0.0, timeout: float = 120.0) -> Any:
    """Wait until an alert has arrived; None when it has not (parameters as in `monitor.health.wait_for`)."""
    from llm_magics.monitor import health

    found = health.wait_for(alert, state, server=server, since=since, timeout=timeout)
    if found is not None:
        _note([found])
    return found


def show(*, span: float = 300.0, watch: float = 0.0) -> Panels:
    """The panels of the last `span` s; live for `watch` s, in one display, until interrupted.

    Raises
    ------
    LLMMagicsError
        When no monitor runs, or Prometheus does not answer.
    """
    from dataclasses import replace

    from llm_magics.api.learning import note
    from llm_magics.monitor.home import Home
    from llm_magics.monitor.inbox import received
    from llm_magics.views.monitor import notification
    from llm_magics.views.progress import live

    home = Home()
    began = time.time()

    def frame() -> Panels:
        fresh = [each for each in received(home.inbox) if each["at"] >= began]
        return replace(_panels(span), said=[notification(each) for each in fresh])

    latest = frame()
    with live() as shown:
        try:
            while time.time() - began < watch:
                shown(replace(latest, passing=True))
                time.sleep(_FRAME)
                latest = frame()
        except KeyboardInterrupt:
            pass  # the usual way to end it
        shown(replace(latest, passing=True))
    _note(received(home.inbox))
    if latest.shown:
        note("looked", {"panels": len(latest.shown)})
    return latest


def dashboards(folder: str | Path) -> list[Path]:
    """Write the Grafana dashboards: one an engine, one over all of them. The paths, in order.

    Raises
    ------
    SpecError
        When the folder cannot be written.
    """
    from llm_magics.api.learning import note
    from llm_magics.monitor import dashboards as made

    with _writing(folder) as target:
        written = made.write(target)
    note("dashboards", {"files": len(written)})
    return written


def rules(folder: str | Path, **limits: Any) -> list[Path]:
    """Write the rules for a Prometheus of one's own, with these limits.

    Raises
    ------
    SpecError
        When the folder cannot be written; as in `alerts.settled`.
    """
    from llm_magics.monitor import alerts, config

    files = config.rule_files(alerts.settled(limits), every=15.0)
    with _writing(folder) as target:
        target.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (target / name).write_text(text, "utf-8")
    return [target / name for name in files]


@contextlib.contextmanager
def _writing(folder: str | Path) -> Iterator[Path]:
    target = Path(folder).expanduser()
    try:
        yield target
    except OSError as error:
        raise SpecError(f"{target} cannot be written.", why=str(error), then="--out DIR somewhere else") from None


def _panels(span: float) -> Panels:
    from llm_magics.monitor.ask import Prometheus
    from llm_magics.monitor.home import Home
    from llm_magics.views.figures.monitor import Line, Panel
    from llm_magics.views.monitor import Panels

    state = Home().state()
    if state is None:
        raise LLMMagicsError("No monitor runs.", why="panels are drawn from what Prometheus records",
                             then="%llm monitor up")  # fmt: skip
    asked, now = Prometheus(state.prometheus), time.time()
    step = max(state.every, span / _POINTS)
    shown = []
    for title, unit, queries, factor, limit in _PANELS:
        lines = [
            Line(each.labels.get("server", ""), each.times, [value * factor for value in each.values], dashed)
            for expr, dashed in queries
            for each in asked.over(expr, now - span, now, step)
            if each.values
        ]
        if lines:
            most = state.limits[limit] * factor if limit else None
            says = f"limit {most:g} {unit}" if most is not None else ""
            shown.append(Panel(title, unit, lines, most, says))
    firing = [each for each in asked.alerts() if each["state"] == "firing"]
    return Panels(shown, span, now, firing)


def _note(received: Any) -> None:
    """Every alert that arrived, once: that it fired, and that it was over."""
    for each in received:
        facts = {"alert": each["alert"], "state": each["status"], "server": each["labels"].get("server", "")}
        _note_once("alerted", facts, f"alerted:{each['alert']}:{each['starts']}:{each['status']}", each["at"])


def _note_once(kind: str, facts: dict[str, Any], identity: str, at: float | None = None) -> None:
    from llm_magics.api.learning import note

    note(kind, facts, identity=identity, at=at)
