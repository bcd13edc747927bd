"""The `profile_export_aiperf.json` of AIPerf (0.13): a profile in summaries, and the load that was asked for.

Its "inter token latency" is `(request latency - TTFT) / (output tokens - 1)`, one value a request, so our TPOT; what it
says of each chunk is our ICL. Its latencies run from the dispatch.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from llm_magics.results.asked import point_label
from llm_magics.results.columns import Builder
from llm_magics.results.run import Run
from llm_magics.results.summary import blank

_LATENCIES = {
    "time_to_first_token": "ttft",
    "inter_token_latency": "tpot",
    "inter_chunk_latency": "icl",
    "request_latency": "e2el",
}
_SPREAD = {"avg": "mean", "p50": "median", "std": "std"}
_QUANTILES = ("p50", "p90", "p95", "p99")
_SINGLE = {
    "request_throughput": "request_throughput",
    "output_token_throughput": "output_throughput",
    "total_token_throughput": "total_token_throughput",
    "benchmark_duration": "duration",
    "goodput": "request_goodput",
    "good_request_fraction": "goodput",
}
_ARRIVALS = ("constant", "poisson", "gamma")


def recognizes(document: Any) -> bool:
    """Whether a JSON document is AIPerf's summary of a profile."""
    return isinstance(document, dict) and "aiperf_version" in document and "input_config" in document


def read(document: Mapping[str, Any], source: str) -> Run:
    """A run of one point that has only summaries.

    Raises
    ------
    KeyError, TypeError, ValueError
        When a value is missing or is not what it should be.
    """
    phases = [phase for phase in _phases(document) if not _warms(phase)]
    point = _load(phases[0]) if len(phases) == 1 else {}
    point.setdefault("label", "AIPerf profile")
    given = {**blank(), **_figures(document), "point": 0, "label": point["label"], "repeats": 1}
    given |= {"errors": {}, "finish": {}, "burstiness": point.get("burstiness", 1.0), "arrival": point.get("arrival")}
    given |= {"max_concurrency": point.get("concurrency"), "request_rate": point.get("rate", "inf")}
    known = provenance(document)
    header = {
        "name": known.get("model") or source,
        "engine": "",
        **known,
        "started": _date(document.get("start_time")),
        "source": "aiperf",
        "file": source,
        "points": [point],
        "workload": {},
    }
    notes = [
        "measured by AIPerf, its summary alone: no requests, no intervals; profile_export.jsonl beside it holds them"
    ]
    status = "cancelled" if document.get("was_cancelled") else "complete"
    return Run(header, Builder().columns(), given=[given], notes=notes, status=status)


def provenance(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a summary says of who was measured and by what: `model`, `target`, `source_version`, where it says."""
    asked = document.get("input_config") or {}
    models = (asked.get("models") or {}).get("items") or []
    urls = (asked.get("endpoint") or {}).get("urls") or []
    found = {
        "model": models[0].get("name") if models else None,
        "target": urls[0] if urls else None,
        "source_version": document.get("aiperf_version"),
    }
    return {key: str(value) for key, value in found.items() if value}


def counts(document: Mapping[str, Any], answered: int) -> bool:
    """Whether a summary is of so many answered requests: else it is of another profile than the records beside it."""
    value = _value(document, "request_count")
    return recognizes(document) and (answered == 0 if value is None else int(value) == answered)


def asked(document: Mapping[str, Any], index: int | None, name: str | None) -> dict[str, Any] | None:
    """The load of one phase (by its index and name in the records) as a point; None where the summary does not say."""
    phases = _phases(document)
    if index is not None and index < len(phases) and phases[index].get("name") == name:
        phase = phases[index]
    else:
        found = [each for each in phases if each.get("name") == name] or [each for each in phases if not _warms(each)]
        if len(found) != 1:
            return None
        phase = found[0]
    return _load(phase) or None


def _load(phase: Mapping[str, Any]) -> dict[str, Any]:
    kind, point = str(phase.get("type", "")), {}
    if kind == "concurrency":
        point = {"arrival": "concurrent", "concurrency": int(phase.get("concurrency") or 1)}
    elif kind in _ARRIVALS and phase.get("rate") is not None:
        point = {"arrival": kind, "rate": float(phase["rate"])}
        if kind == "gamma" and phase.get("smoothness") is not None:
            point["burstiness"] = float(phase["smoothness"])
    return {**point, "label": point_label(point)} if point else {}


def _phases(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list((document.get("input_config") or {}).get("phases") or [])


def _warms(phase: Mapping[str, Any]) -> bool:
    return phase.get("kind") == "warmup" or bool(phase.get("exclude_from_results"))


def _figures(document: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {ours: _value(document, theirs) for theirs, ours in _SINGLE.items()}
    done, failed = (int(_value(document, key) or 0) for key in ("request_count", "error_request_count"))
    found |= {"completed": done, "failed": failed, "cancelled": 0, "num_prompts": done + failed}
    for theirs, ours in (("total_isl", "total_input_tokens"), ("total_osl", "total_output_tokens")):
        if (value := _value(document, theirs)) is not None:
            found[ours] = int(value)
    tokens = (found.get("total_input_tokens"), found.get("total_output_tokens"))
    if found["total_token_throughput"] is None and found["duration"] and None not in tokens:
        found["total_token_throughput"] = sum(each or 0 for each in tokens) / found["duration"]
    for theirs, key in _LATENCIES.items():
        said = document.get(theirs) or {}
        found |= {f"{ours}_{key}_ms": said.get(name) for name, ours in _SPREAD.items()}
        found |= {f"{name}_{key}_ms": said.get(name) for name in _QUANTILES}
    return found


def _value(document: Mapping[str, Any], key: str) -> float | None:
    value = (document.get(key) or {}).get("avg")
    return None if value is None else float(value)


def _date(text: Any) -> float:
    try:
        return datetime.fromisoformat(str(text)).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0
