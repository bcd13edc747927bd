"""One sweep point in numbers: the mapping that `Run.points` holds, with the key names of `vllm bench serve`.

The definitions, and how they differ from what other tools mean by the same words, are in docs/measuring.md; the words
and formulas of each key in `metrics`. Times are milliseconds here and seconds in the records. None means "not
measured": an average of nothing is not 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm_magics.results import timeline
from llm_magics.results.columns import CANCELLED, ERROR, OK, Columns, Floats
from llm_magics.results.metrics import PERCENTILES
from llm_magics.results.records import Audit, PointWindow, RequestRecord


def summary(
    columns: Columns,
    point: Mapping[str, Any],
    windows: Sequence[PointWindow] = (),
    *,
    slo: Mapping[str, float] | None = None,
    audits: Sequence[Audit] = (),
    interrupted: bool = False,
) -> dict[str, Any]:
    """The summary mapping of one sweep point.

    Parameters
    ----------
    columns
        The point's requests, all repetitions, warm-up left out.
    point
        What was asked: `label`, `arrival`, `rate` (requests/s), `concurrency` (streams), `burstiness`.
    windows
        The measured window of each repetition; where one is missing (a run that was cut short) it is taken from the
        records.
    slo
        Limits in seconds: `ttft`, `tpot`, `e2e`.
    audits
        What the client said about itself over this point.
    interrupted
        Whether the run was ended before its time: what was cut off then has not missed its SLO.
    """
    repeats = [columns.take(columns.repeat == number) for number in np.unique(columns.repeat)]
    spans = [_span(part, windows) for part in repeats]
    duration = sum(end - start for start, end in spans)
    answered = columns.take(columns.status == OK)
    prompt, output = told(answered.prompt_tokens), told(answered.output_tokens)
    steady = [timeline.steady(part, point.get("concurrency")) for part in repeats]
    good = met(answered, slo or {})
    judged = int(np.sum(counted(columns, interrupted=interrupted)))
    return {
        "label": point.get("label", ""),
        "arrival": point.get("arrival"),
        "repeats": len(repeats),
        # What vllm bench says about the load and the outcome.
        "num_prompts": len(columns),
        "request_rate": _asked_rate(point),
        "burstiness": point.get("burstiness", 1.0),
        "max_concurrency": point.get("concurrency"),
        "duration": duration,
        "completed": len(answered),
        "failed": int(np.sum(columns.status == ERROR)),
        "cancelled": int(np.sum(columns.status == CANCELLED)),
        "total_input_tokens": prompt,
        "total_output_tokens": output,
        "request_throughput": _per(len(answered), duration),
        "request_goodput": _per(int(good.sum()), duration) if slo else None,
        "output_throughput": _per(output, duration),
        "total_token_throughput": _per(None if prompt is None or output is None else prompt + output, duration),
        "max_output_tokens_per_s": None if output is None else max(map(timeline.peak_per_second, repeats), default=0.0),
        "max_concurrent_requests": max(map(_peak, repeats), default=0),
        # What it leaves out.
        "goodput": float(good.sum()) / judged if slo and judged else None,
        "steady_output_throughput": None if output is None else _steady_throughput(repeats, steady),
        "achieved_rate": _mean([_rate(part.sent) for part in repeats]),
        "scheduled_rate": _mean([_rate(part.intended) for part in repeats]) if _open(point) else None,
        "achieved_concurrency": _mean(
            [timeline.mean_in_flight(part, *(full or span))
             for part, span, full in zip(repeats, spans, steady, strict=True)]
        ),
        "cached_tokens": told(answered.cached_tokens) if len(answered) else None,
        "valid": _valid(answered),
        "errors": dict(Counter(str(word) for word in columns.text("error")[columns.status == ERROR]).most_common()),
        "finish": dict(Counter(str(word) for word in answered.text("finish") if word).most_common()),
        **latency("ttft", answered.ttft),
        **latency("tpot", answered.tpot),
        **per_token(answered),
        **latency("e2el", answered.e2e),
        **latency("icl", answered.gaps.astype(np.float64) * 1e-6),
        **_lag(columns),
        **_audited(audits),
    }  # fmt: skip


def blank() -> dict[str, Any]:
    """Every key of a summary with nothing in it, for runs of which another tool kept only some figures."""
    one = Columns.of_records([RequestRecord(point=0, index=0, intended=0.0)])
    return dict.fromkeys(summary(one, {}))


def counted(columns: Columns, *, interrupted: bool) -> NDArray[np.bool_]:
    """Which requests a goodput is a share of: all; not those that are without an answer because a run was interrupted.

    One that was still unanswered when the waiting after the last arrival ended has missed every limit.
    """
    here: NDArray[np.bool_] = columns.status != CANCELLED
    return here if interrupted else np.ones(len(columns), dtype=np.bool_)


def told(counts: NDArray[np.int64]) -> int | None:
    """The sum of what answers say of their tokens; None where there are answers and none of them says it."""
    known = counts[counts >= 0]
    return int(known.sum()) if len(known) or not len(counts) else None


def met(columns: Columns, slo: Mapping[str, float]) -> NDArray[np.bool_]:
    """Which requests were answered within every limit (s); without a TPOT (one chunk) that limit is met, as in vllm."""
    good: NDArray[np.bool_] = columns.status == OK
    for name, limit in slo.items():
        values = getattr(columns, name)
        good = good & ((values <= limit) | (np.isnan(values) & (name == "tpot")))
    return good


def latency(key: str, samples: Floats, weights: Floats | None = None) -> dict[str, float | None]:
    """`mean_…_ms`, `median_…_ms`, `std_…_ms`, `p50_…_ms` … of samples in seconds; NaN is left out, None of nothing.

    Percentiles interpolate linearly between order statistics, as numpy and vllm bench do; weighted ones take the
    smallest sample that at least that share of the weight does not exceed.
    """
    here = ~np.isnan(samples)
    samples = samples[here] * 1e3
    names = [f"mean_{key}_ms", f"median_{key}_ms", f"std_{key}_ms", *(f"p{q}_{key}_ms" for q in PERCENTILES)]
    if not len(samples):
        return dict.fromkeys(names)
    if weights is None:
        mean, std = samples.mean(), samples.std()
        middle, *points = np.percentile(samples, [50, *PERCENTILES])
    else:
        weights = weights[here]
        mean = np.average(samples, weights=weights)
        std = np.sqrt(np.average((samples - mean) ** 2, weights=weights))
        order = np.argsort(samples)
        share = np.cumsum(weights[order]) / weights.sum()
        found = np.searchsorted(share, np.array([50, *PERCENTILES]) / 100 - 1e-12)
        middle, *points = samples[order][np.minimum(found, len(samples) - 1)]
    return {name: float(value) for name, value in zip(names, [mean, middle, std, *points], strict=True)}


def per_token(columns: Columns) -> dict[str, float | None]:
    """ITL: each gap between chunks divided by the tokens per chunk of its request, counted once for each token.

    With one token a chunk this is the gap itself, as in vllm bench; with several it stays the time per token, where
    vllm bench shows the time per chunk. None where the server does not say how many tokens there were.
    """
    per_chunk = np.repeat(columns.tokens_per_chunk, np.diff(columns.gap_start))
    samples = columns.gaps * 1e-6 / per_chunk
    known = per_chunk[~np.isnan(per_chunk)]
    alike = len(known) == 0 or np.ptp(known) < 1e-9
    return latency("itl", samples, None if alike else per_chunk)


def _span(part: Columns, windows: Sequence[PointWindow]) -> tuple[float, float]:
    for window in windows:
        if window.point == part.point[0] and window.repeat == part.repeat[0]:
            return window.start, window.end
    return float(part.intended.min()), float(np.nanmax([*timeline.ends(part), part.intended.max()]))


def _steady_throughput(repeats: Sequence[Columns], steady: Sequence[tuple[float, float] | None]) -> float | None:
    parts = [(part, full) for part, full in zip(repeats, steady, strict=True) if full]
    tokens = sum(float(timeline.per_slice(part, *full, 1)[0]) for part, full in parts)
    return _per(tokens, sum(end - start for _, (start, end) in parts)) if parts else None


def _lag(columns: Columns) -> dict[str, float | None]:
    late = columns.lag[~np.isnan(columns.lag)] * 1e3
    if not len(late):
        return dict.fromkeys(("lag", "mean_lag_ms", "p99_lag_ms", "max_lag_ms"))
    p99 = float(np.percentile(late, 99))
    return {"lag": p99, "mean_lag_ms": float(late.mean()), "p99_lag_ms": p99, "max_lag_ms": float(late.max())}


def _audited(audits: Sequence[Audit]) -> dict[str, Any]:
    """The worst of what the client said about itself."""
    if not audits:
        return {"client_core": None, "client_loop_lag_ms": None, "chunks_per_read": None}
    return {
        "client_core": max(audit.core for audit in audits),
        "client_loop_lag_ms": max(audit.loop_lag_p99 for audit in audits) * 1e3,
        "chunks_per_read": float(np.mean([audit.chunks_per_read for audit in audits])),
    }


def _valid(answered: Columns) -> float | None:
    """Share of the answers that are the JSON that was asked for; None where none was."""
    judged = answered.valid[answered.valid >= 0]
    return float(judged.mean()) if len(judged) else None


def _open(point: Mapping[str, Any]) -> bool:
    return point.get("concurrency") is None and isinstance(point.get("rate"), (int, float))


def _asked_rate(point: Mapping[str, Any]) -> float | str:
    """The rate as vllm bench writes it: `inf` is text there too."""
    rate = point.get("rate")
    return float(rate) if isinstance(rate, (int, float)) and np.isfinite(rate) else "inf"


def _rate(times: Floats) -> float | None:
    times = times[~np.isnan(times)]
    span = float(np.ptp(times)) if len(times) > 1 else 0.0
    return (len(times) - 1) / span if span > 0 else None


def _peak(part: Columns) -> int:
    running = timeline.in_flight(part)[1]
    return int(running.max()) if len(running) else 0


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _per(amount: float | None, duration: float) -> float | None:
    return amount / duration if amount is not None and duration > 0 else None
