"""The JSON report of GuideLLM (schema version 2, `benchmarks.json`).

Its requests hold when each was wanted, sent, and had its first and last token, but not the time of every chunk, so a
run read from it has no ITL of its own. Its "TPOT" includes the time to the first token and its "ITL" is our TPOT;
docs/measuring.md has them side by side. What we write holds the same keys for what we know, so that a script that reads
GuideLLM's requests and metrics reads ours; it is not a report that GuideLLM itself loads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from llm_magics.results.asked import point_label
from llm_magics.results.columns import STATUSES, Builder, Columns
from llm_magics.results.pooling import apart, repetitions
from llm_magics.results.records import PointWindow
from llm_magics.results.run import Run

# GuideLLM's groups of requests, and our status of each
_GROUPS = {"successful": "ok", "errored": "error", "incomplete": "cancelled"}


def recognizes(document: Any) -> bool:
    """Whether a JSON document is a GuideLLM report."""
    return isinstance(document, dict) and isinstance(document.get("benchmarks"), list) and "metadata" in document


def read(document: Mapping[str, Any], source: str) -> Run:
    """A run whose points are the report's benchmarks.

    Raises
    ------
    KeyError, TypeError, ValueError
        When a value is missing or is not what it should be.
    """
    benchmarks = document["benchmarks"]
    if not benchmarks:
        raise ValueError("the report holds no benchmark")
    builder, windows = Builder(), []
    asked = [_asked(benchmark["config"]["strategy"]) for benchmark in benchmarks]
    places = repetitions([point["label"] for point in asked])
    points = [point for point, (_, repeat) in zip(asked, places, strict=True) if repeat == 0]
    started = min(float(each["scheduler_metrics"]["start_time"]) for each in benchmarks)
    for (number, repeat), benchmark in zip(places, benchmarks, strict=True):
        timed = benchmark["scheduler_metrics"]
        start, end = float(timed["measure_start_time"]) - started, float(timed["measure_end_time"]) - started
        windows.append(PointWindow(number, repeat, start, end))
        rows = [(each, status) for group, status in _GROUPS.items() for each in benchmark["requests"].get(group) or []]
        rows.sort(key=lambda row: float(row[0]["info"]["timings"].get("request_start") or 0.0))
        for index, (request, status) in enumerate(rows):
            row = _request(request, status, started)
            # GuideLLM keeps requests of warm-up and cool-down; its metrics leave them out
            outside = row["intended"] > end or (row.get("done") or row["intended"]) < start
            builder.add({**row, "point": number, "repeat": repeat, "index": index, "warmup": outside})
    backend = benchmarks[0]["config"].get("backend") or {}
    header = {
        "name": str(backend.get("model") or backend.get("target") or source),
        "target": backend.get("target"),
        "engine": "",
        "model": backend.get("model"),
        "started": started,
        "source": "guidellm",
        "source_version": document["metadata"].get("guidellm_version"),
        "file": source,
        "points": points,
        "workload": {},
    }
    notes = ["measured by GuideLLM: it records no times between chunks, so ITL is missing"]
    kept, made = len(builder.columns()), sum(_made(each) for each in benchmarks)
    if kept < made:
        notes.append(f"the report keeps {kept} of the {made} requests that were made")
    return Run(header, builder.columns(), windows=windows, notes=notes)


def written(run: Run) -> dict[str, Any]:
    """A run in the shape of a GuideLLM report, each repetition a benchmark."""
    from llm_magics import __version__

    run = apart(run)
    origin = run.started.timestamp()
    benchmarks = []
    for point in run.points:
        columns = run.at(point["point"]) if run.given is None else Builder().columns()
        windows = [each for each in run.windows if each.point == point["point"]]
        start = origin + min((each.start for each in windows), default=0.0)
        end = origin + max((each.end for each in windows), default=float(point.get("duration") or 0.0))
        benchmarks.append(
            {
                "type_": "generative_benchmark",
                "config": {
                    "strategy": _strategy(point),
                    "backend": {"target": run.header.get("target"), "model": run.header.get("model")},
                    "run_index": point["point"],
                },
                "scheduler_metrics": {
                    "start_time": start,
                    "measure_start_time": start,
                    "measure_end_time": end,
                    "end_time": end,
                    "requests_made": _counted(point),
                },
                "metrics": _metrics(point, columns),
                "requests": _requests(columns, origin),
            }
        )
    metadata = {"version": 2, "written_by": f"llm-magics {__version__}", "guidellm_version": None}
    return {"metadata": metadata, "config": {}, "benchmarks": benchmarks, "conclusions": []}


def _request(request: Mapping[str, Any], status: str, origin: float) -> dict[str, Any]:
    timings = request["info"]["timings"]

    def at(*names: str) -> float | None:
        found = next((timings[name] for name in names if timings.get(name) is not None), None)
        return None if found is None else float(found) - origin

    inputs, outputs = request.get("input_metrics") or {}, request.get("output_metrics") or {}
    sent = at("request_start", "resolve_start")
    wanted = at("targeted_start", "request_start", "resolve_start", "queued")
    return {
        "intended": wanted if wanted is not None else 0.0,
        "sent": sent,
        "first_byte": at("first_request_iteration"),
        "first_token": at("first_token_iteration"),
        "last_token": at("last_token_iteration"),
        "done": at("request_end", "resolve_end"),
        "prompt_tokens": _tokens(inputs),
        "cached_tokens": inputs.get("cached_tokens"),
        "output_tokens": _tokens(outputs),
        "chunks": int(timings.get("token_iterations") or 0),
        "status": status,
        "error": request["info"].get("error") if status == "error" else None,
    }


def _tokens(usage: Mapping[str, Any]) -> int | None:
    """Total tokens: written out in newer reports, else text, image, video and audio tokens together."""
    if usage.get("total_tokens") is not None:
        return int(usage["total_tokens"])
    kinds = [usage.get(f"{kind}_tokens") for kind in ("text", "image", "video", "audio")]
    known = [int(each) for each in kinds if each is not None]
    return sum(known) if known else None


def _asked(strategy: Mapping[str, Any]) -> dict[str, Any]:
    kind = strategy["type_"]
    point: dict[str, Any] = {"arrival": kind}
    if kind == "synchronous":
        point["concurrency"] = 1
    elif kind == "concurrent":
        point["concurrency"] = int(strategy["streams"])
    elif strategy.get("rate") is not None:
        point["rate"] = float(strategy["rate"])
    return {**point, "label": point_label(point) or str(kind)}


def _strategy(point: Mapping[str, Any]) -> dict[str, Any]:
    kind = point.get("arrival") or "concurrent"
    if kind == "concurrent":
        return {"type_": kind, "streams": point["max_concurrency"]}
    rate = point.get("request_rate")
    return {"type_": kind, **({"rate": rate} if isinstance(rate, float) else {})}


def _made(benchmark: Mapping[str, Any]) -> int:
    return int((benchmark["scheduler_metrics"].get("requests_made") or {}).get("total") or 0)


def _counted(point: Mapping[str, Any]) -> dict[str, int]:
    counts = {
        "successful": point.get("completed"),
        "errored": point.get("failed"),
        "incomplete": point.get("cancelled"),
    }
    found = {name: int(count or 0) for name, count in counts.items()}
    return {**found, "total": sum(found.values())}


def _metrics(point: Mapping[str, Any], columns: Columns) -> dict[str, Any]:
    """The metrics whose definition is the same, under GuideLLM's names; its "ITL" is our TPOT."""
    names = {"time_to_first_token_ms": "ttft", "inter_token_latency_ms": "tpot"}
    found: dict[str, Any] = {"request_totals": _counted(point)}
    for name, key in names.items():
        found[name] = {"successful": _distribution(point, key)}
    seconds = {key: _scaled(value, 1e-3) for key, value in _distribution(point, "e2el").items()}
    found["request_latency"] = {"successful": seconds}
    for name, key in (("output_tokens_per_second", "output_throughput"), ("requests_per_second", "request_throughput")):
        found[name] = {"successful": {"mean": point.get(key)}}
    return found


def _distribution(point: Mapping[str, Any], key: str) -> dict[str, Any]:
    percentiles = {f"p{q}": point.get(f"p{q}_{key}_ms") for q in (50, 90, 95, 99)}
    spread = {"mean": f"mean_{key}_ms", "median": f"median_{key}_ms", "std_dev": f"std_{key}_ms"}
    return {**{name: point.get(source) for name, source in spread.items()}, "percentiles": percentiles}


def _scaled(value: Any, factor: float) -> Any:
    if isinstance(value, dict):
        return {key: _scaled(each, factor) for key, each in value.items()}
    return None if value is None else value * factor


def _requests(columns: Columns, origin: float) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {group: [] for group in _GROUPS}
    groups = {status: group for group, status in _GROUPS.items()}
    errors = columns.text("error")

    def moment(times: np.ndarray[Any, np.dtype[np.float64]], i: int) -> float | None:
        return None if np.isnan(times[i]) else origin + float(times[i])

    def count(counts: np.ndarray[Any, np.dtype[np.int64]], i: int) -> int | None:
        return None if counts[i] < 0 else int(counts[i])

    for i in range(len(columns)):
        timings = {
            "targeted_start": moment(columns.intended, i),
            "request_start": moment(columns.sent, i),
            "first_request_iteration": moment(columns.first_byte, i),
            "first_token_iteration": moment(columns.first_token, i),
            "last_token_iteration": moment(columns.last_token, i),
            "request_end": moment(columns.done, i),
            "resolve_end": moment(columns.done, i),
            "token_iterations": int(columns.chunks[i]),
        }
        tokens, prompt = count(columns.output_tokens, i), count(columns.prompt_tokens, i)
        found[groups[STATUSES[columns.status[i]]]].append(
            {
                "type_": "generative_request_stats",
                "request_id": f"{columns.repeat[i]}-{columns.index[i]}",
                "info": {"timings": timings, "error": errors[i]},
                "input_metrics": {"text_tokens": prompt, "cached_tokens": count(columns.cached_tokens, i)},
                "output_metrics": {"text_tokens": tokens},
                "prompt_tokens": prompt,
                "output_tokens": tokens,
            }
        )
    return found
