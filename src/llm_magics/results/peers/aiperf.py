"""The `profile_export.jsonl` of AIPerf (0.13): one JSON object a request, times in ns of the wall clock, metrics in ms.

Its latencies run from the dispatch in the worker (`request_start_ns`). The credit was issued before that
(`credit_issued_ns`, AIPerf's own "control point"): this is our intended moment. A chunk's times are kept as
`inter_chunk_latency`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from llm_magics.results.columns import Builder
from llm_magics.results.records import PointWindow
from llm_magics.results.run import Run


def recognizes(document: Any) -> bool:
    """Whether a JSON document is one request of AIPerf."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("metrics"), dict)
        and isinstance(document.get("metadata"), dict)
        and "request_start_ns" in document["metadata"]
    )


def read(documents: Sequence[Mapping[str, Any]], source: str) -> Run:
    """A run of one point from the requests of one AIPerf profile.

    Raises
    ------
    KeyError, TypeError, ValueError
        When a value is missing or is not what it should be.
    """
    builder = Builder()
    origin = min(_wanted(each["metadata"]) for each in documents)
    rows = [_row(each, origin) for each in sorted(documents, key=lambda each: _wanted(each["metadata"]))]
    for index, row in enumerate(rows):
        builder.add({**row, "point": 0, "index": index})
    measured = [row for row in rows if not row["warmup"]]
    if not measured:
        raise ValueError("it holds no request but warm-up")
    window = PointWindow(0, 0, min(row["intended"] for row in measured), max(row["done"] for row in measured))
    header = {
        "name": source.rpartition(".")[0] or source,
        "engine": "",
        "started": origin / 1e9,
        "source": "aiperf",
        "file": source,
        "points": [{"label": "AIPerf profile"}],
        "workload": {},
    }
    notes = ["measured by AIPerf: the load that was asked for is not in its records; its clock is the wall clock"]
    return Run(header, builder.columns(), windows=[window], notes=notes)


def _wanted(metadata: Mapping[str, Any]) -> int:
    issued = metadata.get("credit_issued_ns")
    return int(metadata["request_start_ns"] if issued is None else issued)


def _row(document: Mapping[str, Any], origin: int) -> dict[str, Any]:
    metadata = document["metadata"]
    metrics = {name: each["value"] for name, each in document["metrics"].items()}
    sent = (int(metadata["request_start_ns"]) - origin) / 1e9
    row: dict[str, Any] = {
        "warmup": metadata.get("benchmark_phase") == "warmup",
        "intended": (_wanted(metadata) - origin) / 1e9,
        "sent": sent,
        "done": (int(metadata["request_end_ns"]) - origin) / 1e9,
        "prompt_tokens": metrics.get("usage_prompt_tokens", metrics.get("input_sequence_length")),
        "cached_tokens": metrics.get("usage_prompt_cache_read_tokens"),
        "output_tokens": metrics.get("usage_completion_tokens", metrics.get("output_sequence_length")),
    }
    if metadata.get("was_cancelled"):
        return {**row, "status": "cancelled"}
    if error := document.get("error"):
        said = error.get("message") or error.get("type")
        return {**row, "status": "error", "http_status": error.get("code"), "error": str(said)}
    gaps = np.asarray(metrics.get("inter_chunk_latency") or [], dtype=np.float64)
    first = metrics.get("time_to_first_token")
    return {
        **row,
        "first_token": None if first is None else sent + first / 1e3,
        "last_token": sent + metrics["request_latency"] / 1e3,
        "chunks": len(gaps) + 1 if first is not None else 0,
        "gaps": np.rint(gaps * 1e3).astype(int).tolist(),
    }
