"""The alerts as data (`alerts.yaml`): what each means and what to do, and the same as rules for one engine."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from llm_magics.errors import SpecError
from llm_magics.monitor import signals
from llm_magics.spec.quantities import limit as time_limit
from llm_magics.spec.quantities import seconds
from llm_magics.spec.reading import nearest

_SIGNAL = re.compile(r"\{(\w+)\}")
_LIMIT = re.compile(r"\$(\w+)")


@dataclass(frozen=True)
class Limit:
    """A number that alerts compare with; `unit` is `s`, `requests`, `1/s`, `share` (0 to 1) or `bytes`."""

    name: str
    default: float
    unit: str
    says: str


@dataclass(frozen=True)
class Alert:
    """One alert.

    Attributes
    ----------
    name
        As Prometheus shows it.
    engines
        Keys of the engines it is for; ("all",) where it reads the monitor's own page, ("monitor",) where it is about
        the monitor itself.
    expr, instead
        PromQL with `{signal}` and `$limit`; `instead` has other words for some engines.
    notes
        Engine -> what is different there.
    hold
        s that it must be true before it fires.
    summary
        One line in Prometheus' template language.
    meaning, todo, cell
        What it means, what to do in this order, and a cell to run first, in which `{server}` is the server's name.
    """

    name: str
    engines: tuple[str, ...]
    expr: str
    hold: float
    severity: Literal["critical", "warning"]
    summary: str
    meaning: str
    todo: tuple[str, ...]
    cell: str
    instead: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def limits(self) -> tuple[str, ...]:
        """Names of the limits it compares with."""
        return tuple(dict.fromkeys(_LIMIT.findall(" ".join([self.expr, *self.instead.values()]))))

    def signals(self, engine: str = "") -> tuple[str, ...]:
        """Names of the signals its expression reads for an engine."""
        return tuple(dict.fromkeys(_SIGNAL.findall(self.instead.get(engine, self.expr))))

    def promql(self, limits: Mapping[str, float], *, engine: str = "", said: Mapping[str, str] | None = None) -> str:
        """The expression for one engine.

        Parameters
        ----------
        limits
            Every limit (see `settled`).
        said
            The engine's signals (see `signals.of`).

        Raises
        ------
        KeyError
            For a signal that the engine does not have.
        """
        words = _SIGNAL.sub(lambda found: (said or {})[found[1]], self.instead.get(engine, self.expr))
        return _LIMIT.sub(lambda found: f"{limits[found[1]]:.12g}", words)


@cache
def alerts() -> tuple[Alert, ...]:
    """Every alert, in the order of the file."""
    return tuple(
        Alert(
            name=each["alert"],
            engines=(each["engines"],) if isinstance(each["engines"], str) else tuple(each["engines"]),
            expr=each["expr"],
            hold=seconds(each["for"]),
            severity=each["severity"],
            summary=each["summary"],
            meaning=each["meaning"],
            todo=tuple(each["todo"]),
            cell=each["cell"],
            instead=each.get("instead", {}),
            notes=each.get("notes", {}),
        )
        for each in _file()["alerts"]
    )


@cache
def limits() -> Mapping[str, Limit]:
    """Every limit, by name."""
    return {name: Limit(name, **about) for name, about in _file()["limits"].items()}


def with_units(values: Mapping[str, float]) -> dict[str, tuple[float, str]]:
    """Limits' values with their units: `s`, `share`, `bytes`, `1/s`, or what is counted; unknown names are left out."""
    return {name: (value, limits()[name].unit) for name, value in values.items() if name in limits()}


def alert(name: str) -> Alert:
    """The alert of a name.

    Raises
    ------
    SpecError
        When there is none; names the nearest.
    """
    found = next((each for each in alerts() if each.name == name), None)
    if found is None:
        names = [each.name for each in alerts()]
        raise SpecError(f"There is no alert {name!r}{nearest(name, names)}.", why=", ".join(names))
    return found


def of_engine(key: str) -> list[Alert]:
    """The alerts that can tell of a server of this engine, those that read the monitor's own page among them."""
    return [each for each in alerts() if key in each.engines or each.engines == ("all",)]


def settled(asked: Mapping[str, Any]) -> dict[str, float]:
    """Every limit's value: what was asked for (times as `500ms`), else the default.

    Raises
    ------
    SpecError
        For an unknown limit, or a value that is no positive number or time.
    """
    found = {name: float(limit.default) for name, limit in limits().items()}
    for name, value in asked.items():
        if name not in found:
            raise SpecError(
                f"There is no limit {name!r}{nearest(name, list(found))}.",
                why=", ".join(f"{each.name} ({each.unit}): {each.says}" for each in limits().values()),
                then="%llm monitor up --limits ttft=500ms,tpot=50ms",
            )
        try:
            found[name] = time_limit(value) if limits()[name].unit == "s" else float(value)
        except (TypeError, ValueError) as error:
            if "in what?" in str(error):
                raise SpecError(f"limits: {name}: {value} - {error}.") from None
            found[name] = -1.0
        if not 0 < found[name] < float("inf"):
            unit = limits()[name].unit
            raise SpecError(
                f"The limit {name} cannot be {value!r}.",
                why=f"it is more than nothing, in {unit}",
                then=f"%llm monitor up --limits {name}={'500ms' if unit == 's' else f'{limits()[name].default:g}'}",
            )
    return found


def rules(
    key: str, engine: Any, values: Mapping[str, float], *, window: str = signals.WINDOW, hold: float | None = None
) -> list[dict[str, Any]]:
    """The rules of one engine as Prometheus takes them: its signals recorded, then its alerts.

    Parameters
    ----------
    key, engine
        The adapter and its key.
    values
        Limits (see `settled`).
    window
        Range of rates and quantiles.
    hold
        s that any alert must be true before it fires; None: as each alert says.
    """
    said = signals.of(engine, window)
    recorded = [{"record": signals.recorded(name), "expr": expr} for name, expr in said.items()]
    raised = [
        _rule(each, each.promql(values, engine=key, said=said), hold)
        for each in alerts()
        if key in each.engines and each.signals(key)
    ]
    return recorded + raised


def rules_of_page(values: Mapping[str, float], *, hold: float | None = None) -> list[dict[str, Any]]:
    """The rules that read the monitor's own page, the same for every engine."""
    return [_rule(each, each.promql(values), hold) for each in alerts() if not each.signals()]


def _rule(each: Alert, expr: str, hold: float | None) -> dict[str, Any]:
    pause = each.hold if hold is None else hold
    named = each.cell.replace("{server}", "{{ $labels.server }}")
    return {
        "alert": each.name,
        "expr": expr,
        "for": f"{pause * 1000:.0f}ms",
        "labels": {"severity": each.severity},
        "annotations": {"summary": each.summary, "meaning": each.meaning, "todo": _list(each.todo), "cell": named},
    }


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))


@cache
def _file() -> Any:
    import yaml

    return yaml.safe_load(files("llm_magics.monitor").joinpath("alerts.yaml").read_text("utf-8"))
