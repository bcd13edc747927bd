"""Every metric once: its key, how a person names it, its unit, its formula, and which way is better.

Summaries, tables, verdicts, figures and docs/measuring.md all take their words from here, so that one word means one
thing everywhere. Keys are those of `vllm bench serve`, because the field knows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One metric of a sweep point.

    Attributes
    ----------
    key
        Its name in `Run.points`.
    title, unit
        How a table names it.
    formula
        How it is computed from the records, in words.
    better
        Which way is better; None where neither is (a count, a description of the load).
    """

    key: str
    title: str
    unit: str
    formula: str
    better: Literal["higher", "lower"] | None = None


PERCENTILES = (50, 90, 95, 99)

# The four latencies of a point: (key of vllm bench, title, formula of one sample).
LATENCIES: dict[str, tuple[str, str]] = {
    "ttft": ("TTFT", "first chunk with content - intended time"),
    "tpot": ("TPOT", "(last chunk - first chunk) / (output tokens - tokens of the first chunk)"),
    "itl": ("ITL", "time between chunks / tokens per chunk, one sample a token"),
    "e2el": ("E2E", "last chunk with content - intended time"),
    "icl": ("ICL", "time between chunks with content, one sample a chunk"),
}

_PLAIN = (
    Metric("output_throughput", "Output tokens/s", "tok/s", "output tokens of finished requests / duration", "higher"),
    Metric("request_throughput", "Requests/s", "req/s", "finished requests / duration", "higher"),
    Metric(
        "total_token_throughput", "Total tokens/s", "tok/s", "prompt and output tokens of finished requests / duration",
        "higher",
    ),
    Metric("goodput", "Goodput", "", "requests that met every SLO / all requests", "higher"),
    Metric("request_goodput", "Good requests/s", "req/s", "requests that met every SLO / duration", "higher"),
    Metric("valid", "Valid JSON", "", "finished requests whose answer keeps the JSON schema / those asked for one",
           "higher"),
    Metric("steady_output_throughput", "Output tokens/s, steady", "tok/s",
           "tokens that arrived while the load was full / that time", "higher"),
    Metric("max_output_tokens_per_s", "Peak output tokens/s", "tok/s", "most tokens that arrived in one second", None),
    Metric("max_concurrent_requests", "Peak in flight", "", "most requests in flight at one moment", None),
    Metric("achieved_concurrency", "Held in flight", "", "mean requests in flight while the load was full", None),
    Metric("achieved_rate", "Sent requests/s", "req/s", "(requests sent - 1) / (last sent - first sent)", None),
    Metric("duration", "Duration", "s", "measured time, warm-up excluded", None),
    Metric("completed", "Finished", "", "requests answered to the end", None),
    Metric("output_throughput_per_gpu", "Output tokens/s a GPU", "tok/s", "output tokens/s / GPUs of the server",
           "higher"),
    Metric("output_tokens_per_dollar", "Output tokens a dollar", "tok/$", "output tokens/s * 3600 / dollars an hour",
           "higher"),
    Metric("dollars_per_million_output_tokens", "A million output tokens", "$",
           "dollars an hour / (output tokens/s * 3600) * 10^6", "lower"),
    Metric("output_tokens_per_joule", "Output tokens a joule", "tok/J", "output tokens / energy of the measured time",
           "higher"),
    Metric("failed", "Failed", "", "requests that ended in an error", "lower"),
)  # fmt: skip


def _latencies() -> list[Metric]:
    found = []
    for key, (title, formula) in LATENCIES.items():
        found.append(Metric(f"mean_{key}_ms", f"{title} mean", "ms", f"mean of: {formula}", "lower"))
        found.append(Metric(f"median_{key}_ms", f"{title} p50", "ms", f"median of: {formula}", "lower"))
        found.extend(
            Metric(f"p{q}_{key}_ms", f"{title} p{q}", "ms", f"{q}th percentile of: {formula}", "lower")
            for q in PERCENTILES
        )
    return found


METRICS: dict[str, Metric] = {metric.key: metric for metric in (*_PLAIN, *_latencies())}
