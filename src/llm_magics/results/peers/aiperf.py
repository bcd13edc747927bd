"""The `profile_export.jsonl` of AIPerf (0.13): one JSON object a request, times in ns of the wall clock, metrics in ms.

Its latencies run from the dispatch in the worker (`request_start_ns`). The credit was issued before that
(`credit_issued_ns`, AIPerf's own "control point"): this is our intended moment. A chunk's times are kept as
`inter_chunk_latency`. What load was asked for is not in the records but in the summary that AIPerf writes beside them
(`aiperf_summary`); without it the records themselves say how many requests were kept in flight.

Written, each of our points is a phase of AIPerf, named as the point is, a repetition one more phase of that name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from llm_magics.results.asked import point_label, point_named
from llm_magics.results.columns import STATUSES, Builder, Columns
from llm_magics.results.peers import aiperf_summary
from llm_magics.results.records import PointWindow
from llm_magics.results.run import Run

_HELD = 0.7  # share of the most requests in flight that must be in flight on average for them to be streams
_EVEN = 0.05  # deviation of the times between requests, relative, below which a constant rate sent them


def recognizes(document: Any) -> bool:
    """Whether a JSON document is one request of AIPerf."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("metrics"), dict)
        and isinstance(document.get("metadata"), dict)
        and "request_start_ns" in document["metadata"]
    )


def read(documents: Sequence[Mapping[str, Any]], source: str, summary: Mapping[str, Any] | None = None) -> Run:
    """A run from the requests of one AIPerf profile; each of its measured phases is a point.

    Parameters
    ----------
    summary
        The summary that AIPerf wrote beside them; not believed where it counts other requests.

    Raises
    ------
    KeyError, TypeError, ValueError
        When a value is missing or is not what it should be.
    """
    origin = min(_wanted(each["metadata"]) for each in documents)
    rows = [_row(each, origin) for each in sorted(documents, key=lambda each: _wanted(each["metadata"]))]
    if not any(not row["warmup"] for row in rows):
        raise ValueError("it holds no request but warm-up")
    notes = ["measured by AIPerf: its clock is the wall clock"]
    if summary is not None and not aiperf_summary.counts(summary, sum(_answered(row) for row in rows)):
        notes.append("the summary beside it is of another profile and is not believed")
        summary = None
    phases = list(dict.fromkeys(row["phase"] for row in rows if not row["warmup"]))
    measured = [[row for row in rows if row["phase"] == phase and not row["warmup"]] for phase in phases]
    points: list[dict[str, Any]] = []
    windows = []
    numbers: dict[Any, tuple[int, int]] = {}
    for phase, own in zip(phases, measured, strict=True):
        point = _asked(phase, own, summary, notes)
        labels = [each["label"] for each in points]
        if point["label"] not in labels:
            points.append(point)
        number = len(points) - 1 if point["label"] not in labels else labels.index(point["label"])
        repeat = sum(place == number for place, _ in numbers.values())
        numbers[phase] = number, repeat
        windows.append(
            PointWindow(number, repeat, min(row["intended"] for row in own), max(row["done"] for row in own))
        )
    builder = Builder()
    for row, (number, repeat), index in _numbered(rows, numbers, phases[0]):
        builder.add({**row, "point": number, "repeat": repeat, "index": index})
    known = aiperf_summary.provenance(summary) if summary is not None else {}
    header = {
        "name": known.get("model") or source.rpartition(".")[0] or source,
        "engine": "",
        **known,
        "started": origin / 1e9,
        "source": "aiperf",
        "file": source,
        "points": points,
        "workload": {},
    }
    return Run(header, builder.columns(), windows=windows, notes=list(dict.fromkeys(notes)))


def written(run: Run) -> list[dict[str, Any]]:
    """A run's requests, warm-up included, as AIPerf writes them: an object a request, in the order of their dispatch.

    Of a run that has only summaries there are none.
    """
    columns, origin = run.columns, round(run.started.timestamp() * 1e9)
    labels = [point["label"] for point in run.asked]
    places = sorted(set(zip(columns.point.tolist(), columns.repeat.tolist(), strict=True)))
    found = []
    for row, gaps in _with_gaps(columns):
        phase = places.index((row["point"], row["repeat"]))
        found.append(_document(row, gaps, origin, phase, labels[row["point"]]))
    return sorted(found, key=lambda each: int(each["metadata"]["request_start_ns"]))


def _wanted(metadata: Mapping[str, Any]) -> int:
    issued = metadata.get("credit_issued_ns")
    return int(metadata["request_start_ns"] if issued is None else issued)


def _row(document: Mapping[str, Any], origin: int) -> dict[str, Any]:
    metadata = document["metadata"]
    metrics = {name: each["value"] for name, each in document["metrics"].items()}
    sent = (int(metadata["request_start_ns"]) - origin) / 1e9
    row: dict[str, Any] = {
        "warmup": metadata.get("benchmark_phase") == "warmup",
        "phase": (metadata.get("phase_index"), metadata.get("phase_name")),
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


def _answered(row: Mapping[str, Any]) -> bool:
    return not row["warmup"] and row.get("status", "ok") == "ok"


def _numbered(
    rows: Sequence[dict[str, Any]], numbers: Mapping[Any, tuple[int, int]], first: Any
) -> Iterator[tuple[dict[str, Any], tuple[int, int], int]]:
    """Each row with its point, repetition and index; warm-up belongs to the next measured phase, or to its own."""
    counts: dict[Any, int] = {}
    for row in rows:
        phase = row["phase"]
        if phase not in numbers:
            phase = next((each for each in numbers if (each[0] or 0) >= (phase[0] or 0)), first)
        key = (phase, row["warmup"])
        counts[key] = counts.get(key, -1) + 1
        yield row, numbers[phase], counts[key]


def _asked(
    phase: tuple[Any, Any], rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any] | None, notes: list[str]
) -> dict[str, Any]:
    """The load of a phase: as the summary says, as the phase is named, or as its requests show."""
    if summary is not None and (point := aiperf_summary.asked(summary, *phase)):
        return point
    if point := point_named(str(phase[1] or "")):
        return {**point, "label": point_label(point)}
    streams = _streams(rows)
    if streams is None:
        notes.append("the load that was asked for is not in its records, and its summary is not beside it")
        return {"label": "AIPerf profile"}
    notes.append("the streams were counted in its records: its summary is not beside it")
    return {"arrival": "concurrent", "concurrency": streams, "label": point_label({"concurrency": streams})}


def _streams(rows: Sequence[Mapping[str, Any]]) -> int | None:
    """The streams of a closed loop: as many as were ever in flight, if that many were most of the time.

    None where requests do not wait for each other, as at a rate: their number in flight wanders, or they come evenly.
    """
    starts = np.sort([row["intended"] for row in rows])
    ends = np.sort([row["done"] for row in rows])
    before = np.arange(len(starts)) - np.searchsorted(ends, starts, side="right")
    streams = int(before.max()) + 1
    between = np.diff(starts)
    held = float(np.sum(ends - starts)) / max(float(ends[-1] - starts[0]), 1e-9)
    if len(starts) <= 2 * streams or float(between.std()) < _EVEN * float(between.mean()):
        return None
    return streams if held >= _HELD * streams else None


def _with_gaps(columns: Columns) -> Iterator[tuple[dict[str, Any], list[int]]]:
    for row in columns.rows():
        yield row, row.pop("gaps", [])


def _document(row: Mapping[str, Any], gaps: Sequence[int], origin: int, phase: int, label: str) -> dict[str, Any]:
    sent = row.get("sent", row["intended"])
    kind = "warmup" if row["warmup"] else "profiling"
    metadata: dict[str, Any] = {
        "session_num": row["index"],
        "x_request_id": f"{row['point']}-{row['repeat']}-{row['index']}",
        "conversation_id": str(row.get("conversation", row["index"])),
        "turn_index": row.get("turn", 0),
        "credit_issued_ns": origin + round(row["intended"] * 1e9),
        "request_start_ns": origin + round(sent * 1e9),
        "request_end_ns": origin + round(row.get("done", row.get("last_token", sent)) * 1e9),
        "worker_id": "llm-magics",
        "benchmark_phase": kind,
        "phase_index": phase,
        "phase_name": label,
        "phase_kind": kind,
        "was_cancelled": row["status"] == "cancelled",
    }
    if "first_byte" in row:
        metadata["request_ack_ns"] = origin + round(row["first_byte"] * 1e9)
    found: dict[str, Any] = {"metadata": metadata, "metrics": _metrics(row, gaps, sent)}
    if row["status"] == STATUSES[1]:
        found["error"] = {"code": row.get("http_status"), "type": "Error", "message": row.get("error") or "error"}
    return found


def _metrics(row: Mapping[str, Any], gaps: Sequence[int], sent: float) -> dict[str, Any]:
    """The metrics of one request under AIPerf's names, by its formulas: from the dispatch, not the intended moment."""
    tokens = row.get("output_tokens")
    values: dict[str, tuple[Any, str]] = {
        "input_sequence_length": (row.get("prompt_tokens"), "tokens"),
        "usage_prompt_tokens": (row.get("prompt_tokens"), "tokens"),
        "usage_prompt_cache_read_tokens": (row.get("cached_tokens"), "tokens"),
        "output_sequence_length": (tokens, "tokens"),
        "usage_completion_tokens": (tokens, "tokens"),
    }
    if row["status"] == "ok" and "last_token" in row:
        latency = (row["last_token"] - sent) * 1e3
        values["request_latency"] = (latency, "ms")
        if "first_token" in row:
            first = (row["first_token"] - sent) * 1e3
            values["time_to_first_token"] = (first, "ms")
            values["inter_chunk_latency"] = ([gap / 1e3 for gap in gaps] or None, "ms")
            if tokens and tokens > 1:
                values["inter_token_latency"] = ((latency - first) / (tokens - 1), "ms")
    return {name: {"value": value, "unit": unit} for name, (value, unit) in values.items() if value is not None}
