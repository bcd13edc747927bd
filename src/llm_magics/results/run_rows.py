"""A run in a list of runs: the few figures that are kept apart so that listing reads no requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llm_magics.results.run import Run


@dataclass(frozen=True)
class RunRow:
    """A stored run in a list.

    Attributes
    ----------
    id, name, label, engine, model, status
        As in `Run`.
    started
        ISO 8601, UTC.
    points, requests
        How many of each were measured, the requests that failed or were given up on among them.
    headline
        The best output throughput (`output_throughput`, tokens/s), the point it was reached at (`at`), and the median
        TTFT and TPOT of that point (`median_ttft_ms`, `median_tpot_ms`); of a comparison's run its `round`, in words;
        how many of the requests `failed`, where some did.
    """

    id: str
    name: str
    label: str
    engine: str
    model: str
    started: str
    status: str
    points: int
    requests: int
    headline: dict[str, Any]


def row_of(run: Run) -> RunRow:
    """A run as it stands in a list."""
    header = run.header
    return RunRow(
        id=run.id,
        name=run.name,
        label=run.label,
        engine=str(header.get("engine") or ""),
        model=str(header.get("model") or ""),
        started=run.started.isoformat(timespec="seconds"),
        status=run.status,
        points=len(run.points),
        requests=len(run.measured) or sum(_ended(point) for point in run.points),
        headline=_headline(run.points)
        | ({"round": header["round"]} if header.get("round") else {})
        | ({"failed": failed} if (failed := sum(int(point.get("failed") or 0) for point in run.points)) else {}),
    )


def _ended(point: dict[str, Any]) -> int:
    """The requests of a point that another tool measured and of which it tells no more than the numbers."""
    return sum(int(point.get(how) or 0) for how in ("completed", "failed", "cancelled"))


def _headline(points: list[dict[str, Any]]) -> dict[str, Any]:
    gains = ("output_throughput", "request_throughput")  # the second where nobody counted tokens
    best = max(points, key=lambda point: [point.get(key) or 0.0 for key in gains], default={})
    figures = ("output_throughput", "median_ttft_ms", "median_tpot_ms")
    return {"at": best.get("label"), **{key: best.get(key) for key in figures}}
