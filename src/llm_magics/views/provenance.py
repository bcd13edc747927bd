"""Where figures come from: what a reader needs to believe a run, and to repeat it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from llm_magics.views import format as fmt
from llm_magics.views import headline
from llm_magics.views.table import Column, Table

if TYPE_CHECKING:
    from llm_magics.results.run import Run


def table(runs: Mapping[str, Run]) -> Table:
    """A row for each fact that any of the runs knows, a column for each run."""
    rows = []
    for name, fact in _FACTS.items():
        values = [fact(run) for run in runs.values()]
        if any(values):
            rows.append([name, *(value or fmt.NOTHING for value in values)])
    return Table([Column(""), *(Column(label, wrap=True) for label in runs)], rows)


def _header(*keys: str) -> Callable[[Run], str]:
    def fact(run: Run) -> str:
        return " ".join(fmt.visible(str(run.header[key])) for key in keys if run.header.get(key))

    return fact


def _load(run: Run) -> str:
    return ", ".join(str(point.get("label") or "") for point in run.asked)


def _limits(run: Run) -> str:
    return fmt.limits(run.slo)


def _search(run: Run) -> str:
    found = run.search
    if found is None:
        return ""
    what = f"{found.goal} by {found.over}" + (f", {found.share:g} of the requests" if found.goal == "slo" else "")
    return f"{what}; {fmt.duration(found.seconds)} of {fmt.duration(found.budget)}, {len(found.probes)} loads"


def _price(run: Run) -> str:
    hours = [point["dollars_per_hour"] for point in run.points if point.get("dollars_per_hour") is not None]
    return f"{fmt.number(hours[0])} $ an hour for the whole server" if hours else ""


def _watched(run: Run) -> str:
    if run.header.get("watched") is False:
        return "not seen: the target is a URL"
    return f"{fmt.count(len(run.server_samples))} samples" if run.server_samples else ""


def _hardware(run: Run) -> str:
    header = run.header
    cores = f"{header['cores']} CPU cores" if header.get("cores") else ""
    used = f"GPU {', '.join(map(str, header['gpus']))} used" if header.get("gpu") and header.get("gpus") else ""
    driver = f"driver {header['driver']}" if header.get("driver") else ""
    return ", ".join(str(part) for part in (header.get("gpu"), used, driver, cores, header.get("system")) if part)


def _client(run: Run) -> str:
    cores = [point["client_core"] for point in run.points if point.get("client_core") is not None]
    lags = [point["p99_lag_ms"] for point in run.points if point.get("p99_lag_ms") is not None]
    parts = []
    if cores:
        parts.append(f"at most {fmt.percent(max(cores))} of a core")
    loops = [point["client_loop_lag_ms"] for point in run.points if point.get("client_loop_lag_ms") is not None]
    if loops:
        parts.append(f"its loop woke at most {fmt.milliseconds(max(loops))} late (p99)")
    if lags:
        parts.append(f"requests sent at most {fmt.milliseconds(max(lags))} late (p99)")
    return ", ".join(parts)


def _workload(run: Run) -> str:
    skip = {"rate", "concurrency", "stages", "slo", "seed", "search", "price"}
    idle = {
        "turns": 1,
        "think": [0.0, 0.0],
        "images": 0,
        "speed": 1.0,
        **({} if run.workload.get("images") else _NO_SIZE),
    }
    given = {
        key: value
        for key, value in run.workload.items()
        if key not in skip and value not in (None, {}, [], "") and (key not in idle or _listed(value) != idle[key])
    }
    return ", ".join(f"{key} {_short(value)}" for key, value in given.items())


def _listed(value: Any) -> Any:
    """A tuple as the list that it is once it has been written down."""
    return list(value) if isinstance(value, tuple) else value


def _schedule(run: Run) -> str:
    """What tells two schedules apart, for every point that has one."""
    hashes = [" ".join(point.get("schedule") or ()) for point in run.asked]
    return ", ".join(each for each in hashes if each)


def _seed(run: Run) -> str:
    seed = run.workload.get("seed")
    return "" if seed is None else str(seed)


def _short(value: Any) -> str:
    return json.dumps(value) if isinstance(value, (dict, list, bool)) else fmt.visible(str(value))


_NO_SIZE = {"image_size": [512, 512]}
_FACTS: dict[str, Callable[[Any], str]] = {
    "run": lambda run: run.id,
    "started": lambda run: f"{run.started:%d %B %Y, %H:%M:%S} UTC" if run.header.get("started") else "",
    "status": lambda run: run.status,
    "engine": _header("engine", "engine_version"),
    "model": _header("model"),
    "command": _header("command"),
    "hardware": _hardware,
    "sent": headline.sent,
    "load": _load,
    "schedule": _schedule,
    "workload": _workload,
    "seed": _seed,
    "SLO": _limits,
    "search": _search,
    "price": _price,
    "server's side": _watched,
    "load generator": _client,
    "llm-magics": _header("llm_magics"),
}
