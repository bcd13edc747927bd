"""The JSON of `vllm bench serve`: one object a point, one line each when there are several (`--append-result`).

Without `--save-detailed` it holds only summaries; with it, times of every request. Its words are close to ours, not the
same: times run from the dispatch of a request, a chunk that carries only the role may count as the first token, and
ITL is the time between chunks. docs/measuring.md has them side by side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm_magics.results.asked import point_label
from llm_magics.results.columns import OK, Builder, Columns
from llm_magics.results.pooling import apart, repetitions
from llm_magics.results.records import PointWindow
from llm_magics.results.run import Run
from llm_magics.results.summary import blank

_DETAILS = ("ttfts", "itls", "latencies", "start_times", "output_lens", "input_lens", "errors")


def recognizes(document: Any) -> bool:
    """Whether a JSON document is one point of `vllm bench serve`."""
    return isinstance(document, dict) and {"duration", "completed", "total_token_throughput"} <= set(document)


def read(documents: Sequence[Mapping[str, Any]], source: str) -> Run:
    """A run of one or more points, each one object of `vllm bench serve`.

    Raises
    ------
    KeyError, TypeError, ValueError
        When a value is missing or is not what it should be.
    """
    first = documents[0]
    points = [_asked(document) for document in documents]
    header: dict[str, Any] = {
        "name": str(first.get("label") or first.get("model_id") or source),
        "target": first.get("model_id"),
        "engine": str(first.get("endpoint_type") or first.get("backend") or ""),
        "model": first.get("model_id"),
        "started": _date(first.get("date")),
        "source": "vllm bench serve",
        "file": source,
        "points": points,
        "workload": {},
    }
    notes = ["measured by vllm bench serve: times run from the dispatch, ITL is the time between chunks"]
    if not all(_detailed(document) for document in documents):
        notes.append("only summaries are in the file (--save-detailed was not given): no requests, no intervals")
        given = [
            _given(number, point, each) for number, (point, each) in enumerate(zip(points, documents, strict=True))
        ]
        return Run(header, Builder().columns(), given=given, notes=notes)
    builder = Builder()
    windows = []
    places = repetitions([point["label"] for point in points])
    for (number, repeat), document in zip(places, documents, strict=True):
        origin = min(document["start_times"])
        for index in range(len(document["start_times"])):
            builder.add(_request(document, number, index, origin) | {"repeat": repeat})
        windows.append(PointWindow(number, repeat, 0.0, float(document["duration"])))
    header["points"] = [point for point, (_, repeat) in zip(points, places, strict=True) if repeat == 0]
    return Run(header, builder.columns(), windows=windows, notes=notes)


def written(run: Run) -> list[dict[str, Any]]:
    """A run as `vllm bench serve --save-detailed` writes it: one object a point, and a repetition."""
    run = apart(run)
    return [
        {
            "date": run.started.strftime("%Y%m%d-%H%M%S"),
            "endpoint_type": run.header.get("engine"),
            "backend": run.header.get("engine"),
            "label": run.label,
            "model_id": run.header.get("model"),
            "tokenizer_id": run.header.get("model"),
            **{key: value for key, value in point.items() if key not in ("point", "label")},
            **(_details(run.at(point["point"])) if run.given is None else {}),
        }
        for point in run.points
    ]


def _request(document: Mapping[str, Any], point: int, index: int, origin: float) -> dict[str, Any]:
    start = float(document["start_times"][index]) - origin
    error = document["errors"][index]
    row: dict[str, Any] = {"point": point, "index": index, "intended": start, "sent": start}
    row["prompt_tokens"] = document["input_lens"][index]
    if error or document["output_lens"][index] == 0:
        return {**row, "status": "error", "error": str(error or "no output").strip().splitlines()[-1]}
    gaps = [round(each * 1e6) for each in document["itls"][index]]
    end = start + float(document["latencies"][index])
    return {
        **row,
        "first_token": start + float(document["ttfts"][index]),
        "last_token": end,
        "done": end,
        "output_tokens": document["output_lens"][index],
        "chunks": len(gaps) + 1,
        "gaps": gaps,
    }


def _details(columns: Columns) -> dict[str, list[Any]]:
    ok = columns.status == OK
    gaps = np.split(columns.gaps * 1e-6, columns.gap_start[1:-1])
    errors = columns.text("error")
    return {
        "input_lens": _known(columns.prompt_tokens),
        # a length of 0 is a failure there; of an answer that was not counted there is none
        "output_lens": _known(np.where(ok, columns.output_tokens, 0)),
        "ttfts": np.nan_to_num(columns.ttft).tolist(),
        "itls": [each.tolist() for each in gaps] if len(columns) else [],
        "latencies": np.nan_to_num(columns.e2e).tolist(),
        "start_times": columns.intended.tolist(),
        "errors": ["" if good else str(error or "cancelled") for good, error in zip(ok, errors, strict=True)],
    }


def _known(counts: NDArray[np.int64]) -> list[int | None]:
    return [count if count >= 0 else None for count in counts.tolist()]


def _given(number: int, asked: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    known = blank()
    found = {key: document[key] for key in known if key in document}
    for key in ("ttft", "tpot", "itl", "e2el"):
        found[f"p50_{key}_ms"] = document.get(f"median_{key}_ms")
    return {**known, **found, "point": number, "label": asked["label"], "repeats": 1, "errors": {}, "finish": {}}


def _asked(document: Mapping[str, Any]) -> dict[str, Any]:
    rate, streams = document.get("request_rate"), document.get("max_concurrency")
    rate = None if rate in (None, "inf") or math.isinf(float(rate)) else float(rate)
    point: dict[str, Any] = {"burstiness": document.get("burstiness", 1.0)}
    if rate is not None:
        point |= {"arrival": "poisson" if point["burstiness"] == 1.0 else "gamma", "rate": rate}
    elif streams is not None:
        point |= {"arrival": "concurrent", "concurrency": int(streams)}
    else:
        point |= {"arrival": "throughput"}
    return {**point, "label": point_label(point)}


def _detailed(document: Mapping[str, Any]) -> bool:
    return all(isinstance(document.get(key), list) and document[key] for key in _DETAILS)


def _date(text: Any) -> float:
    try:
        return datetime.strptime(str(text), "%Y%m%d-%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0
