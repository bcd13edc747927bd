"""What a run was asked to do at each sweep point, from whatever its header says."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any


def asked_points(header: Mapping[str, Any], reached: int) -> list[dict[str, Any]]:
    """The sweep points of a run: `label`, `arrival`, `rate`, `concurrency`, `burstiness`.

    Taken from the header's `points`, else worked out from its workload; at least `reached` of them, so that no
    recorded request stands without a point.
    """
    workload = header.get("workload") or {}
    points = [dict(point) for point in header.get("points") or _of_workload(workload)]
    points += [{} for _ in range(reached - len(points))]
    for number, point in enumerate(points):
        point["rate"] = _number(point.get("rate"))
        point.setdefault("concurrency", None)
        point.setdefault("arrival", None)
        point.setdefault("burstiness", workload.get("burstiness", 1.0))
        point.setdefault("label", point_label(point) or f"point {number + 1}")
    return points


def point_label(point: Mapping[str, Any]) -> str:
    """How a person names a point, as in `spec.workload.Point.label`; "" when neither rate nor concurrency is known."""
    if (streams := point.get("concurrency")) is not None:
        return f"{streams} stream{'s' if streams != 1 else ''}"
    rate = _number(point.get("rate"))
    if rate is None:
        return "all at once" if point.get("arrival") == "throughput" else ""
    return "all at once" if math.isinf(rate) else f"{rate:g} req/s"


_NAMED = re.compile(r"(?P<streams>\d+) streams?|(?P<rate>\S+) req/s|(?P<all>all at once)")


def point_named(label: str) -> dict[str, Any] | None:
    """What a name that `point_label` gave asks for; None for another name."""
    found = _NAMED.fullmatch(label)
    if found is None:
        return None
    if found["streams"]:
        return {"arrival": "concurrent", "concurrency": int(found["streams"])}
    if found["all"]:
        return {"arrival": "throughput"}
    rate = _number(found["rate"])
    return None if rate is None or not math.isfinite(rate) else {"rate": rate}


def _of_workload(workload: Mapping[str, Any]) -> list[dict[str, Any]]:
    """As `spec.workload.Workload.points`, for a workload that is only a mapping any more."""
    arrival = workload.get("arrival")
    if rates := workload.get("rate"):
        numbers = [_number(rate) for rate in rates]
        return [
            {"arrival": "throughput" if rate is None or math.isinf(rate) else arrival or "poisson", "rate": rate}
            for rate in numbers
        ]
    if arrival == "throughput":
        return [{"arrival": "throughput"}]
    if arrival == "synchronous":
        return [{"arrival": "synchronous", "concurrency": 1}]
    return [{"arrival": "concurrent", "concurrency": streams} for streams in workload.get("concurrency") or []]


def _number(rate: Any) -> float | None:
    """A rate from JSON, where infinity is written `inf` (or, by some writers, `Infinity`)."""
    if rate is None:
        return None
    try:
        return float(rate)
    except (TypeError, ValueError):
        return None
