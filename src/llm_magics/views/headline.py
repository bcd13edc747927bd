"""A result in one or two sentences: the subtitle of its figure, the first line of its text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llm_magics.views import format as fmt

if TYPE_CHECKING:
    from llm_magics.results.run import Run


def what(run: Run) -> str:
    """What was loaded: engine, version, model."""
    header = run.header
    engine = f"{header.get('engine') or ''} {header.get('engine_version') or ''}".strip()
    model = str(header.get("model") or "")
    parts = [engine if engine != "unknown" else "", model if model != run.label else ""]
    return " · ".join(part for part in parts if part)


def sent(run: Run) -> str:
    """What was sent: kind of workload, tokens in and out, requests."""
    work = run.workload
    parts = []
    if work.get("workload"):
        parts.append(_kind(work))
    if work.get("input_tokens") and work.get("workload") in ("random", "sonnet", "prefix"):
        levels = work.get("prefix_tokens")
        levels = levels if isinstance(levels, list) else [levels]
        shared = f"{' + '.join(map(fmt.count, levels))} shared + " if work["workload"] == "prefix" else ""
        parts.append(f"{shared}{fmt.count(work['input_tokens'])} → {fmt.count(work.get('output_tokens'))} tokens")
    if work.get("models"):
        parts.append(
            " and ".join(f"{fmt.percent(share)} {fmt.visible(str(name))}" for name, share in work["models"].items())
        )
    if work.get("images"):
        width, height = work["image_size"]
        parts.append(f"{work['images']} picture{'s' * (work['images'] != 1)} of {width}x{height}")
    total, lost = requests(run), sum(int(point.get("cancelled") or 0) for point in run.points)
    if total:
        parts.append(f"{fmt.count(total)} requests" + (f" ({fmt.count(lost)} of them unanswered)" if lost else ""))
    return ", ".join(parts)


def requests(run: Run) -> int:
    """How many were measured: answered, failed, and cut off without an answer."""
    ends = ("completed", "failed", "cancelled")
    return len(run.measured) or sum(int(point.get(key) or 0) for point in run.points for key in ends)


def _kind(work: Mapping[str, Any]) -> str:
    prompts = {
        "random": "random prompts",
        "sonnet": "verse",
        "prefix": "prompts with shared prefixes",
        "file": "prompts from a file",
        "trace": "requests of a trace",
    }.get(str(work["workload"]), "prompts from a table")
    turns = work.get("turns") or 1
    if turns > 1:
        many = "up to " if work["workload"] in ("file", "dataframe") else ""
        prompts = f"conversations of {many}{turns} turns, {prompts}"
    return f"{prompts}, answers in JSON" if work.get("json_schema") else prompts


def best(points: list[dict[str, Any]]) -> Mapping[str, Any] | None:
    """The point with the highest output throughput (of requests, where nobody counted tokens); None of no answers."""
    for key in ("output_throughput", "request_throughput"):
        known = [point for point in points if point.get(key)]
        if known:
            return max(known, key=lambda point: float(point[key]))
    return None


def of_run(run: Run) -> str:
    """What was sent, and what the server made of it at its best point; of a search, what it found."""
    if run.search is not None:
        return f"{run.search.headline} {sent(run)}".strip()
    point = best(run.points)
    gone = f"the server ended during the run: {run.header['server_ended']}" if run.header.get("server_ended") else ""
    if point is None:
        return " · ".join(part for part in (sent(run), gone, "nothing was measured") if part)
    where = f" at {point['label']}" if len(run.points) > 1 and point.get("label") else ""
    failed = sum(int(each.get("failed") or 0) for each in run.points)
    lost = f"{fmt.count(failed)} of them failed" if failed else ""  # before any figure of those that did not
    tokens = point.get("output_throughput")
    most = fmt.requests_per_s(point["request_throughput"]) if tokens is None else fmt.tokens_per_s(tokens)
    figures = [f"{most}{where}"]
    if point.get("p99_ttft_ms") is not None:
        figures.append(f"p99 TTFT {fmt.milliseconds(point['p99_ttft_ms'])} there" if where else
                       f"p99 TTFT {fmt.milliseconds(point['p99_ttft_ms'])}")  # fmt: skip
    if point.get("valid") is not None:
        figures.append(f"{fmt.percent(point['valid'])} valid JSON")
    if point.get("goodput") is not None:
        figures.append(f"{fmt.percent(point['goodput'])} within the SLO ({fmt.limits(run.slo)})")
    return " · ".join(part for part in (sent(run), gone, lost, *figures) if part)
