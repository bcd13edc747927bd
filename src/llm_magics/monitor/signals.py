"""What can be watched of an engine, as PromQL over the metrics that this very engine exports.

The adapters say the names (`engines.facts.Metrics`); here they become expressions: one series for each server, with
the labels that service discovery gives it. An engine that does not export what a signal needs has no such signal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_magics.engines.base import Engine

LABELS = ("server", "engine", "model")  # of every series here; never anything secret
BY = ", ".join(LABELS)
WINDOW = "1m"  # of rates and quantiles: twelve scrapes at the usual 5 s
QUANTILE = 0.95

_SELECTOR = re.compile(r"(?P<name>[A-Za-z_:][\w:]*)(?:\{(?P<labels>.*)\})?")
_GAUGES = ("running", "waiting")
_RATES = {
    "output_rate": "output_tokens", "prompt_rate": "prompt_tokens", "preemption_rate": "preemptions",
    "steps_rate": "steps", "request_rate": "requests", "failed_rate": "failed",
}  # fmt: skip
_TIMES = ("ttft", "tpot", "queue")

MEANINGS: Mapping[str, str] = {
    "running": "requests being computed",
    "waiting": "requests in the queue",
    "waiting_trend": "growth of the queue, requests/s",
    "kv_usage": "share of the KV cache in use, 0 to 1; the fullest of several",
    "output_rate": "tokens generated, 1/s",
    "prompt_rate": "prompt tokens taken in, 1/s",
    "preemption_rate": "requests that lost their place in the KV cache, 1/s",
    "steps_rate": "steps of the engine, 1/s: 0 when it computes nothing",
    "request_rate": "requests that ended, 1/s",
    "failed_rate": "requests that the server failed, 1/s",
    "ttft_p95": "time to first token, s: 95 % were faster",
    "tpot_p95": "time per output token, s: 95 % were faster",
    "tpot_mean": "time per output token, s: the mean, where the engine exports no histogram",
    "queue_p95": "time in the queue, s: 95 % waited less",
}


def of(engine: Engine, window: str = WINDOW) -> dict[str, str]:
    """The signals of an engine: name (a key of `MEANINGS`) -> PromQL; {} for one that exports no metrics.

    Parameters
    ----------
    window
        Range of rates and quantiles, as PromQL writes it.
    """
    if engine.metrics is None:
        return {}
    exported: dict[str, Sequence[str]] = {**engine.metrics.names, **engine.metrics.watched}
    found: dict[str, str] = {}
    for name in _GAUGES:
        if name in exported:
            found[name] = _said(engine, exported[name], "sum by ({by}) ({metric})")
    if "waiting" in exported:
        found["waiting_trend"] = _said(engine, exported["waiting"], f"sum by ({{by}}) (deriv({{metric}}[{window}]))")
    if "kv_usage" in exported:
        found["kv_usage"] = _said(engine, exported["kv_usage"], "max by ({by}) ({metric})")
    for name, counter in _RATES.items():
        if counter in exported:
            found[name] = _said(engine, exported[counter], f"sum by ({{by}}) (rate({{metric}}[{window}]))")
    for name in _TIMES:
        if f"{name}_sum" in exported:
            found |= _times(engine, name, exported, window)
    return {name: found[name] for name in MEANINGS if name in found}


def recorded(signal: str) -> str:
    """The name under which a signal is recorded, the same for every engine."""
    return f"llm:{signal}"


def metrics_in(engine: Engine) -> set[str]:
    """The engine's own metric names that its signals read."""
    named = _SELECTOR.finditer(re.sub(r"\{[^{}]*\}|\[\w+\]|\bby \([^)]*\)", "", " ".join(of(engine).values())))
    words = {"sum", "max", "by", "rate", "deriv", "or", "histogram_quantile"}
    return {found["name"] for found in named} - words


def _times(engine: Engine, name: str, exported: Mapping[str, Sequence[str]], window: str) -> dict[str, str]:
    """A latency: its 95th percentile from a histogram, or the mean where there is but a sum of seconds and a count."""
    sums, counts = exported[f"{name}_sum"], exported[f"{name}_count"]
    if sums[0].endswith("_sum"):
        buckets = [metric.removesuffix("_sum") + "_bucket" for metric in sums]
        quantile = f"histogram_quantile({QUANTILE}, sum by (le, {{by}}) (rate({{metric}}[{window}])))"
        return {f"{name}_p95": _said(engine, buckets, quantile)}
    rate = f"sum by ({{by}}) (rate({{metric}}[{window}]))"
    return {f"{name}_mean": f"{_said(engine, sums[:1], rate)} / {_said(engine, counts[:1], rate)}"}


def _said(engine: Engine, candidates: Sequence[str], form: str) -> str:
    """The first candidate that is exported; one of the form `a + b` is the sum of both."""
    said = " or ".join(
        " + ".join(form.format(by=BY, metric=part) for part in _selectors(engine, candidate))
        for candidate in candidates
    )
    return f"({said})" if len(candidates) > 1 or " + " in candidates[0] else said


def _selectors(engine: Engine, candidate: str) -> Iterator[str]:
    """Metrics with the engine's label: Triton exports names that are vLLM's too."""
    for part in candidate.split(" + "):
        found = _SELECTOR.fullmatch(part)
        if found is None:
            raise ValueError(f"{part!r} is not the name of a metric")
        labels = ",".join(filter(None, [f'engine="{engine.key}"', found["labels"]]))
        yield f"{found['name']}{{{labels}}}"
