"""Grafana dashboards as JSON: one an engine, by its own metric names, and one over every server, whatever runs it.

They are imported as they are (Grafana: Dashboards, New, Import); which Prometheus they read is chosen there. A server
is chosen at the top of each. Every query is one of `signals`, so it reads what the engine really exports.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llm_magics import engines
from llm_magics.monitor import alerts, signals

SCHEMA = 41  # Grafana 11.6 and later
_SOURCE = {"type": "prometheus", "uid": "${source}"}
_WIDTH, _HEIGHT = 12, 8  # of a panel; a row has 24 columns
_HEAD = 4  # height of the single numbers

# Panels: title, unit as Grafana names it, signals (or a metric of the monitor's own page), limit of an alert.
_PANELS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("Requests", "short", ("running", "waiting"), "queue"),
    ("Tokens", "short", ("output_rate", "prompt_rate"), ""),
    ("Time to first token", "s", ("ttft_p95",), "ttft"),
    ("Time in the queue", "s", ("queue_p95",), "ttft"),
    ("Time per output token", "s", ("tpot_p95", "tpot_mean"), "tpot"),
    ("KV cache in use", "percentunit", ("kv_usage",), "kv"),
    ("Requests that lost their place in the KV cache", "ops", ("preemption_rate",), "preemptions"),
    ("Requests that ended, and that the server failed", "reqps", ("request_rate", "failed_rate"), ""),
    ("Steps of the engine", "ops", ("steps_rate",), ""),
)
_PAGE: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("Memory of the server's processes", "bytes", ("llm_server_memory_bytes",), ""),
    ("GPU memory in use", "bytes", ("llm_gpu_memory_used_bytes",), ""),
)


def dashboards() -> dict[str, dict[str, Any]]:
    """Every dashboard: file name -> Grafana's JSON model."""
    found = {"llm-overview.json": _dashboard("llm-magics-overview", "LLM servers", "", _recorded())}
    for key in engines.names():
        engine = engines.get(key)
        if said := signals.of(engine, "$__rate_interval"):
            found[f"llm-{key}.json"] = _dashboard(f"llm-magics-{key}", f"LLM servers: {engine.title}", key, said)
    return found


def write(folder: Path) -> list[Path]:
    """Write them into a folder, which is made where it is missing; the paths (OSError as usual)."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, dashboard in dashboards().items():
        path = folder / name
        path.write_text(json.dumps(dashboard, indent=1, ensure_ascii=False) + "\n", "utf-8")
        written.append(path)
    return written


def queries(dashboard: Mapping[str, Any]) -> list[str]:
    """The PromQL of every panel, Grafana's own variables filled in as Grafana does."""
    return [
        target["expr"].replace("$__rate_interval", "1m").replace("$server", ".*")
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]


def _recorded() -> dict[str, str]:
    """The signals under the names that the rules record, the same for every engine."""
    return {name: signals.recorded(name) for name in signals.MEANINGS}


def _dashboard(uid: str, title: str, engine: str, said: Mapping[str, str]) -> dict[str, Any]:
    chosen = f'{{engine="{engine}",server=~"$server"}}' if engine else '{server=~"$server"}'
    panels = _head(chosen)
    place = 0
    for title_, unit, names, limit in (*_PANELS, *_PAGE):
        lines = [(name, _of_server(said[name], engine)) for name in names if name in said]
        lines += [(name, name + chosen) for name in names if name.startswith("llm_")]
        if lines:
            at = {"h": _HEIGHT, "w": _WIDTH, "x": _WIDTH * (place % 2), "y": _HEAD + _HEIGHT * (place // 2)}
            panels.append(_series(len(panels) + 1, title_, unit, lines, limit, at))
            place += 1
    return {
        "uid": uid,
        "title": title,
        "description": "Made by llm-magics (%llm monitor dashboards) from the metrics that the engines export.",
        "tags": ["llm", "llm-magics", *([engine] if engine else [])],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": "now-30m", "to": "now"},
        "refresh": "10s",
        "timezone": "browser",
        "annotations": {"list": [_firing(chosen)]},
        "templating": {"list": [_source(), _servers(engine)]},
        "panels": panels,
    }


def _of_server(expr: str, engine: str) -> str:
    """An expression for the servers that are chosen at the top."""
    if not engine:
        return f'{expr}{{server=~"$server"}}'
    return expr.replace(f'engine="{engine}"', f'engine="{engine}",server=~"$server"')


def _head(chosen: str) -> list[dict[str, Any]]:
    found = []
    for place, (title, expr, unit, steps) in enumerate(
        (
            ("Servers up", f"sum(llm_server_up{chosen})", "short", [("red", None), ("green", 1)]),
            ("Servers down", f"count(llm_server_up{chosen} == 0) or vector(0)", "short", [("green", None), ("red", 1)]),
            (
                "Alerts firing",
                f'count(ALERTS{chosen[:-1]},alertstate="firing"}}) or vector(0)',
                "short",
                [("green", None), ("red", 1)],
            ),
        )
    ):
        found.append(
            {
                "id": place + 1, "type": "stat", "title": title, "datasource": _SOURCE,
                "gridPos": {"h": _HEAD, "w": 8, "x": 8 * place, "y": 0},
                "targets": [_target("A", expr, "")],
                "fieldConfig": {
                    "defaults": {"unit": unit, "decimals": 0, "thresholds": _thresholds(steps)}, "overrides": [],
                },
                "options": {"colorMode": "value", "graphMode": "none", "reduceOptions": {"calcs": ["lastNotNull"]}},
            }
        )  # fmt: skip
    return found


def _series(
    number: int, title: str, unit: str, lines: Sequence[tuple[str, str]], limit: str, at: Mapping[str, int]
) -> dict[str, Any]:
    """A panel of lines; the limit that an alert compares with is drawn as a dashed one."""
    defaults: dict[str, Any] = {"unit": unit, "min": 0, "custom": {"lineWidth": 2, "fillOpacity": 8}}
    if limit:
        steps = [("transparent", None), ("red", alerts.limits()[limit].default)]
        defaults["thresholds"] = _thresholds(steps)
        defaults["custom"]["thresholdsStyle"] = {"mode": "dashed"}
    several = len(lines) > 1
    return {
        "id": number,
        "type": "timeseries",
        "title": title,
        "description": "\n".join(f"{name}: {_meaning(name)}" for name, _ in lines),
        "datasource": _SOURCE,
        "gridPos": dict(at),
        "targets": [
            _target(chr(ord("A") + place), expr, "{{server}}" + (f" {_word(name)}" if several else ""))
            for place, (name, expr) in enumerate(lines)
        ],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def _meaning(name: str) -> str:
    from llm_magics.monitor.page import METRICS

    return signals.MEANINGS.get(name) or METRICS[name][1]


def _word(name: str) -> str:
    return name.removesuffix("_rate").replace("_", " ")


def _target(ref: str, expr: str, legend: str) -> dict[str, Any]:
    return {"refId": ref, "datasource": _SOURCE, "expr": expr, "legendFormat": legend or "__auto", "range": True}


def _thresholds(steps: Sequence[tuple[str, float | None]]) -> dict[str, Any]:
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for color, value in steps]}


def _source() -> dict[str, Any]:
    return {"name": "source", "type": "datasource", "label": "Prometheus", "query": "prometheus"}


def _servers(engine: str) -> dict[str, Any]:
    query = (
        f'label_values(llm_server_up{{engine="{engine}"}}, server)' if engine else "label_values(llm_server_up, server)"
    )
    return {
        "name": "server", "type": "query", "label": "Server", "datasource": _SOURCE, "refresh": 2, "sort": 1,
        "query": query, "includeAll": True, "multi": True, "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }  # fmt: skip


def _firing(chosen: str) -> dict[str, Any]:
    """Alerts as marks across every panel."""
    return {
        "name": "Alerts", "datasource": _SOURCE, "enable": True, "iconColor": "red",
        "expr": f'ALERTS{chosen[:-1]},alertstate="firing"}}', "titleFormat": "{{alertname}}",
        "textFormat": "{{server}}", "step": "10s",
    }  # fmt: skip
