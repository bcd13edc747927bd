"""The JSONL of SGLang's `bench_serving` (0.5): one object a point, appended to the file.

Its words are near those of `vllm bench serve`: times run from the dispatch, TPOT is `(E2E - TTFT) / (n - 1)`, ITL the
time between chunks. With `--output-details` it also keeps each request's TTFT and times between chunks, but not when
it was sent, so nothing can be put on a clock: its summaries are what is read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from llm_magics.results.asked import point_label
from llm_magics.results.columns import Builder
from llm_magics.results.run import Run
from llm_magics.results.summary import blank

_KEYS = {"total_throughput": "total_token_throughput"}
_LATENCIES = {"ttft": "ttft", "tpot": "tpot", "itl": "itl", "e2e_latency": "e2el"}
_SPREAD = ("mean", "median", "std", "p90", "p95", "p99")


def recognizes(document: Any) -> bool:
    """Whether a JSON document is one point of SGLang's benchmark."""
    return isinstance(document, dict) and {"duration", "completed", "total_throughput", "accept_length"} <= set(
        document
    )


def read(documents: Sequence[Mapping[str, Any]], source: str) -> Run:
    """A run of one or more points that has only summaries.

    Raises
    ------
    KeyError, TypeError, ValueError
        When a value is missing or is not what it should be.
    """
    points = [_asked(document) for document in documents]
    first = documents[0]
    told = first.get("server_info") or {}
    told = told if isinstance(told, dict) else {}
    header: dict[str, Any] = {
        "name": str(first.get("tag") or told.get("served_model_name") or source.rpartition(".")[0] or source),
        "engine": str(first.get("backend") or ""),
        "model": told.get("model_path"),
        "started": 0.0,
        "source": "sglang bench_serving",
        "source_version": told.get("version"),
        "file": source,
        "points": points,
        "workload": {},
    }
    notes = [
        "measured by SGLang's bench_serving: times run from the dispatch, ITL is the time between chunks",
        "its file says not when each request was sent: only summaries are read, no intervals",
    ]
    given = [_given(number, point, each) for number, (point, each) in enumerate(zip(points, documents, strict=True))]
    return Run(header, Builder().columns(), given=given, notes=notes)


def _given(number: int, asked: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    known = blank()
    found = {key: document[key] for key in known if key in document}
    found |= {ours: document.get(theirs) for theirs, ours in _KEYS.items()}
    for theirs, ours in _LATENCIES.items():
        found |= {f"{word}_{ours}_ms": document.get(f"{word}_{theirs}_ms") for word in _SPREAD}
        found[f"p50_{ours}_ms"] = document.get(f"median_{theirs}_ms")
    found |= {"goodput": document.get("slo_attainment"), **_outcome(document)}
    cached = (document.get("cache_report") or {}).get("total_cached_tokens")
    found |= {"achieved_concurrency": document.get("concurrency"), "cached_tokens": cached}
    return {**known, **found, "point": number, "label": asked["label"], "repeats": 1, "errors": {}, "finish": {}}


def _outcome(document: Mapping[str, Any]) -> dict[str, Any]:
    """Failed requests: in the details only, for the summary counts those that were answered."""
    errors, done = document.get("errors"), int(document["completed"])
    failed = max(0, len(errors) - done) if isinstance(errors, list) else None
    return {"failed": failed, "num_prompts": None if failed is None else done + failed}


def _asked(document: Mapping[str, Any]) -> dict[str, Any]:
    rate, streams = document.get("request_rate"), document.get("max_concurrency")
    number = float(rate) if isinstance(rate, (int, float)) else math.inf
    if math.isfinite(number):
        point: dict[str, Any] = {"arrival": "poisson", "rate": number}
    elif rate == "trace":
        point = {"arrival": "trace", "label": "trace"}
    elif streams is not None:
        point = {"arrival": "concurrent", "concurrency": int(streams)}
    else:
        point = {"arrival": "throughput"}
    return {"label": point_label(point), **point}
