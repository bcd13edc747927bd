"""What a runbook is made from, and the questions that more than one part of it asks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_magics.spec.typed import in_terminal


@dataclass(frozen=True)
class Earlier:
    """A setting or a version that ran under this name before: its spec, the engine's version, the run that saw it.

    `install` is what brings that version back, "" where it is the one that is here.
    """

    spec: Mapping[str, Any]
    version: str
    run: Any
    install: str = ""


@dataclass(frozen=True)
class Known:
    """What is known of a server.

    Attributes
    ----------
    record
        Its record (see `runtime.record`).
    title, ready
        The engine's name and the page that answers 200.
    runs
        Its whole runs, newest first.
    alerts, failures
        The engine's (see `monitor.alerts.Alert` and `engines.facts.Failure`).
    namespace, deployed
        Where it is in a cluster, if it is; its name there.
    sleeps
        Whether it can give its memory back.
    gpu
        Whether it may be on a GPU; what is about GPUs only is left out of the runbook of one that is not.
    earlier
        What ran under this name before, newest first.
    undeployable
        Why it cannot be deployed as it is and what is needed instead; "" where it can.
    limits
        What the alerts compare with: name -> value and unit (see `monitor.alerts.with_units`).
    hold
        s that any alert waits, where the monitor was started so; None: as each says.
    monitored
        Whether a monitor runs here, whose limits these are; else they are those that hold by default.
    """

    record: Any
    title: str
    ready: str
    runs: Sequence[Any]
    alerts: Sequence[Any]
    failures: Sequence[Any]
    namespace: str | None
    deployed: str
    sleeps: bool
    gpu: bool = True
    earlier: Sequence[Earlier] = ()
    undeployable: str = ""
    limits: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    hold: float | None = None
    monitored: bool = False

    @property
    def name(self) -> str:
        """The server's."""
        return str(self.record.name)

    @property
    def within_slo(self) -> Any | None:
        """The last run that looked for the most that it carries within its SLO."""
        return next((run for run in self.runs if run.search is not None and run.search.goal == "slo"), None)

    @property
    def with_slo(self) -> Any | None:
        """The last run that had an SLO."""
        return next((run for run in self.runs if run.slo), None)

    def named(self, text: str) -> str:
        """A notebook's words as a terminal's, with the server's name."""
        return in_terminal(re.sub(r"\{server\}|\bNAME\b", self.name, text))
