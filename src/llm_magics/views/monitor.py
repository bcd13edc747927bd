"""The monitor as it is shown: its state, its alerts, and live panels from what Prometheus has recorded."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from llm_magics.views import format as fmt
from llm_magics.views.bundle import bundle
from llm_magics.views.card import Card, fact_row
from llm_magics.views.figures.monitor import Line, Panel, panels
from llm_magics.views.markup import Markup, join, page, tag
from llm_magics.views.table import Cell, Column, Table, Tone

_TONES: dict[str, Tone] = {"firing": "bad", "pending": "warn", "resolved": "good"}
_SHOWN = 12  # alerts


class StatusCard(Card):
    """`%llm monitor status`; `status` is a `monitor.health.Status`."""

    def __init__(self, status: Any) -> None:
        self.status = status

    @property
    def headline(self) -> str:
        """One line: what it is and where."""
        state = self.status.state
        if state is None:
            return "No monitor runs. `%llm monitor up` starts Prometheus and Alertmanager."
        where = f"Prometheus {state.prometheus}, Alertmanager {state.alertmanager}"
        word = {"up": "is up", "broken": "does not work as it should"}[self.status.health]
        return f"The monitor {word}: {where}"

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Small facts: name, value."""
        state = self.status.state
        if state is None:
            return []
        versions = ", ".join(f"{name} {version}" for name, version in state.versions.items())
        limits = ", ".join(f"{name} {fmt.threshold(*limit)}" for name, limit in self.status.limits.items())
        return [
            ("since", fmt.ago(state.started)), ("runs", f"{state.on}: {versions}"),
            ("looks every", fmt.duration(state.every)), ("keeps", fmt.duration(state.retention)),
            ("alerting rules", str(self.status.rules)), ("limits", limits), ("data", self.status.folder),
        ]  # fmt: skip

    def targets(self) -> Table:
        """What is scraped, and which servers are not, and why."""
        rows: list[list[Cell | str]] = []
        for each in sorted(self.status.targets, key=lambda each: (each["job"] != "engines", each["server"])):
            tone: Tone = {"up": "good", "down": "bad"}.get(each["health"], "busy")  # type: ignore[assignment]
            health = "not yet asked" if each["health"] == "unknown" else each["health"]
            rows.append([each["server"] or each["job"], Cell(health, tone=tone), each["error"]])
        rows += [[name, Cell("left out", tone="muted"), why] for name, why in self.status.left_out.items()]
        return Table(
            [Column("Scraped"), Column("State"), Column("Why", wrap=True)],
            rows,
            empty="Nothing is scraped yet: a new server is found within ten seconds.",
        )

    def html(self) -> Markup:
        """The card as markup."""
        title = tag("div", tag("span", self.headline, cls="title"), cls="head")
        troubles = [
            tag("p", tag("span", tag("span", cls="dot"), f"{each.program}: {each.why}", cls="state bad"),
                tag("small", f" {each.line}"), tag("span", f" -> {each.then}"))
            for each in self.status.troubles
        ]  # fmt: skip
        if self.status.state is None:
            return tag("div", title, cls="card")
        return tag(
            "div", title, *troubles, fact_row(self.facts), self.targets().html(), alerts_table(self.status).html(),
            cls="card",
        )  # fmt: skip

    def __str__(self) -> str:
        lines = [self.headline]
        for each in self.status.troubles:
            lines += [f"! {each.program}: {each.why}", *([fmt.visible(f"  {each.line}")] if each.line else [])]
            lines.append(f"  -> {each.then}")
        if self.status.state is not None:
            lines += [f"  {name}: {value}" for name, value in self.facts]
            lines += ["", str(self.targets()), "", str(alerts_table(self.status))]
        return "\n".join(lines)


def alerts_table(status: Any) -> Table:
    """Alerts that fire or are about to, then the last that arrived here."""
    rows: list[list[Cell | str]] = [
        _row(each["state"], each["labels"].get("alertname", ""), each["labels"], each.get("annotations", {}), "now")
        for each in status.alerts
    ]
    rows += [
        _row(each["status"], each["alert"], each["labels"], each["annotations"], fmt.ago(each["at"]))
        for each in reversed(status.received[-_SHOWN:])
    ]
    columns = [
        Column("Alert"),
        Column("State"),
        Column("Server"),
        Column("What", wrap=True),
        Column("When"),
        Column("Look"),
    ]
    return Table(columns, rows, empty="No alert fires, and none has arrived.")


def notification(arrived: Mapping[str, Any]) -> str:
    """An alert that has just arrived, in one line."""
    sign = "⚠" if arrived["status"] == "firing" else "✓"
    at = time.strftime("%H:%M:%S", time.localtime(arrived["at"]))
    what = arrived["annotations"].get("summary", "") if arrived["status"] == "firing" else "is over"
    return fmt.visible(
        f"{sign} {at} {arrived['alert']} {arrived['status']}: {arrived['labels'].get('server', '')} {what}"
    )


def _named(line: Line) -> str:
    """A line as a page without the figure tells it from its neighbour."""
    return f"{line.name} (dotted)" if line.dashed else line.name


def _at_most(line: Line) -> str:
    """The highest that was recorded; a gap is no number."""
    return fmt.number(max((value for value in line.values if math.isfinite(value)), default=None))


def _row(state: str, name: str, labels: Mapping[str, str], said: Mapping[str, str], when: str) -> list[Cell | str]:
    tone = _TONES.get(state, "")
    return [name, Cell(state, tone=tone), labels.get("server", ""), said.get("summary", ""), when, said.get("cell", "")]


@dataclass(frozen=True, repr=False)
class Panels(Card):
    """What Prometheus has recorded lately, as one figure.

    Attributes
    ----------
    shown
        The panels; those of which nothing is recorded are left out.
    span
        s that they show, up to `now` (s since the epoch).
    firing
        Alerts that fire, as Prometheus says them.
    said
        Notifications, newest last.
    """

    shown: Sequence[Panel]
    span: float
    now: float
    firing: Sequence[Mapping[str, Any]] = ()
    said: Sequence[str] = field(default_factory=tuple)
    passing: bool = False

    @property
    def stays(self) -> bool:  # type: ignore[override]
        """While it is live it makes room for the last one, which is the cell's value."""
        return not self.passing

    @property
    def subtitle(self) -> str:
        """What fires, for whoever sees the figure alone."""
        names = sorted(
            {f"{each['labels'].get('alertname')} ({each['labels'].get('server', 'monitor')})" for each in self.firing}
        )
        alerts = f"firing: {', '.join(names)}" if names else "no alert fires"
        return f"the last {fmt.duration(self.span)} · {alerts}" + (f" · {self.said[-1]}" if self.said else "")

    @property
    def figure(self) -> Any:
        """The plotly figure; None when nothing is recorded yet."""
        return panels(self.shown, self.subtitle, now=self.now, span=self.span)

    def settled(self) -> Panels:
        """The same, to be left behind."""
        return replace(self, passing=False)

    def html(self) -> Markup:
        """In words, for pages that draw nothing: each line's last value and its highest, and the notifications."""
        rows: list[list[Cell | str]] = [
            [panel.title, _named(line), _at_most(line), fmt.number(line.values[-1]) if line.values else fmt.NOTHING,
             panel.unit]
            for panel in self.shown
            for line in panel.lines
        ]  # fmt: skip
        columns = [Column("Panel"), Column("Server"), Column("Most", align="right"), Column("Now", align="right"),
                   Column("Unit")]  # fmt: skip
        table = Table(columns, rows, empty="Nothing is recorded yet: Prometheus finds a new server within ten seconds.")
        return join(tag("p", self.subtitle), table.html(), *(tag("p", each) for each in self.said[-_SHOWN:]))

    def __str__(self) -> str:
        lines = [self.subtitle]
        for panel in self.shown:
            values = ", ".join(
                f"{_named(line)} {fmt.number(line.values[-1])} (most {_at_most(line)})"
                for line in panel.lines
                if line.values
            )
            lines.append(fmt.visible(f"{panel.title}: {values} {panel.unit}"))
        return "\n".join([*lines, *self.said[-_SHOWN:]])

    @property
    def oneline(self) -> str:
        """The moment in one line, for a terminal."""
        return fmt.visible(self.said[-1] if self.said else str(self).replace("\n", " · "))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return bundle(self.figure, page(self.html()), str(self), stills=False)
