"""Runs with known truth, made without a server: what the tests of results and views are checked against.

`synthetic_run` plays a simple server: a request waits, its first token comes after `ttft`, then one chunk every
`tpot * tokens_per_chunk`. With `noise=0` every figure of the summary is known exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from llm_magics.results.columns import Columns
from llm_magics.results.records import Audit, PointWindow, RequestRecord, ServerSample
from llm_magics.results.run import Run


def synthetic_run(
    *,
    name: str = "qwen",
    engine: str = "vllm",
    concurrency: Sequence[int] | None = None,
    rate: Sequence[float] | None = None,
    requests: int = 50,
    ttft: float = 0.050,
    tpot: float = 0.010,
    noise: float = 0.05,
    drift: float = 0.0,
    output_tokens: int = 64,
    prompt_tokens: int = 128,
    tokens_per_chunk: int = 1,
    cached_tokens: int = 0,
    errors: int = 0,
    warmup: int = 2,
    repeats: int = 1,
    slo: Mapping[str, float] | None = None,
    seed: int = 0,
    workload_seed: int = 0,
    status: str = "complete",
    header: Mapping[str, Any] | None = None,
    run_id: str | None = None,
) -> Run:
    """A run of a server whose TTFT and TPOT are known.

    Parameters
    ----------
    concurrency, rate
        The sweep; 1, 4 and 16 streams when both are left out.
    ttft, tpot
        Mean times of the server (s).
    noise
        Relative deviation (log-normal, mean kept) of each request's TTFT and TPOT.
    drift
        Deviation of a slow common factor (AR(1), 0.8 from one request to the next): a server that has good and bad
        spells, so that neighbouring requests resemble each other.
    errors
        How many requests of each repetition fail.
    seed, workload_seed
        Of the server's noise; of the workload as the header claims it (and of the arrivals of a rate).
    """
    rng = np.random.default_rng(seed)
    sweep: list[dict[str, Any]] = (
        [{"arrival": "poisson", "rate": float(each), "label": f"{each:g} req/s"} for each in rate]
        if rate
        else [
            {"arrival": "concurrent", "concurrency": each, "label": f"{each} stream{'s' if each != 1 else ''}"}
            for each in concurrency or [1, 4, 16]
        ]
    )
    server = _Server(rng, ttft, tpot, noise, drift, output_tokens, tokens_per_chunk)
    records: list[RequestRecord] = []
    windows: list[PointWindow] = []
    audits: list[Audit] = []
    samples: list[ServerSample] = []
    clock = 0.0
    for number, point in enumerate(sweep):
        for repeat in range(repeats):
            starts = _arrivals(point.get("rate"), requests, workload_seed + repeat)
            for warm in range(warmup):
                records.append(server.answer(number, warm, clock, repeat=repeat, warmup=True))
                clock = float(records[-1].done or clock)
            begin, ends = clock, [clock] * (point.get("concurrency") or 0)
            batch = []
            for index in range(requests):
                if starts is not None:
                    intended = begin + float(starts[index])
                else:
                    stream = int(np.argmin(ends))
                    intended = ends[stream]
                record = server.answer(number, index, intended, repeat=repeat)
                record.prompt_tokens, record.cached_tokens = prompt_tokens, cached_tokens
                if index < errors:
                    _fail(record)
                if starts is None:
                    ends[stream] = float(record.done or intended)
                batch.append(record)
            clock = max(float(record.done or 0.0) for record in batch)
            records += batch
            windows.append(PointWindow(number, repeat, begin, clock))
            held = point.get("concurrency") or 1.0
            audits.append(Audit(number, repeat, core=0.12, loop_lag_p99=2e-4, send_lag_p99=1e-4, chunks_per_read=1.1, held=float(held)))  # fmt: skip  # noqa: E501
            for t in np.arange(begin, clock, max((clock - begin) / 20, 1e-3)):
                values = {"running": float(held), "waiting": 0.0, "kv_usage": min(0.01 * float(held), 1.0)}
                samples.append(ServerSample(float(t), values))
            clock += 0.1
    workload = {
        "workload": "random", "endpoint": "chat", "input_tokens": prompt_tokens, "output_tokens": output_tokens,
        "ignore_eos": True, "temperature": 0.0, "requests": requests, "warmup": warmup, "repeats": repeats,
        "concurrency": list(concurrency or [1, 4, 16]) if not rate else None, "rate": list(rate) if rate else None,
        "burstiness": 1.0, "seed": workload_seed, "slo": {"ttft": None, "tpot": None, "e2e": None, **(slo or {})},
    }  # fmt: skip
    fields = {
        "name": name, "label": name, "target": name, "engine": engine, "engine_version": "0.32.0",
        "model": "tiny", "command": f"{engine} serve tiny", "gpus": [], "started": 1_790_000_000.0 + seed,
        "workload": workload, "points": sweep, "schedule_hash": f"seed-{workload_seed}", **(header or {}),
    }  # fmt: skip
    if run_id:
        fields["run"] = run_id
    return Run(fields, Columns.of_records(records), windows=windows, audits=audits, samples=samples, status=status)


class _Server:
    """Answers one request after another with noise that is its own."""

    def __init__(self, rng: np.random.Generator, ttft: float, tpot: float, noise: float, drift: float, tokens: int, per_chunk: int) -> None:  # fmt: skip  # noqa: E501
        self.rng, self.ttft, self.tpot, self.noise, self.drift = rng, ttft, tpot, noise, drift
        self.tokens, self.per_chunk, self.mood = tokens, per_chunk, 0.0

    def factor(self) -> float:
        return float(np.exp(self.rng.normal(-(self.noise**2) / 2, self.noise))) if self.noise else 1.0

    def answer(
        self, point: int, index: int, intended: float, *, repeat: int = 0, warmup: bool = False
    ) -> RequestRecord:
        if self.drift:
            self.mood = 0.8 * self.mood + 0.6 * self.rng.normal(0.0, self.drift)
        slow = float(np.exp(self.mood))
        chunks = max(1, round(self.tokens / self.per_chunk))
        gap = self.tpot * self.per_chunk * self.factor() * slow
        gaps = [round(gap * 1e6)] * (chunks - 1)
        first = intended + self.ttft * self.factor() * slow
        last = first + sum(gaps) * 1e-6
        return RequestRecord(
            point=point, index=index, intended=intended, repeat=repeat, warmup=warmup, sent=intended,
            first_byte=first, first_token=first, last_token=last, done=last, output_tokens=self.tokens,
            prompt_tokens=128, asked_tokens=self.tokens, chunks=chunks, http_status=200, finish="length", gaps=gaps,
        )  # fmt: skip


def _fail(record: RequestRecord) -> None:
    record.status, record.error, record.http_status = "error", "503 Service Unavailable: the queue is full", 503
    record.first_byte = record.first_token = record.last_token = None
    record.output_tokens = record.prompt_tokens = record.cached_tokens = record.finish = None
    record.chunks, record.gaps = 0, []


def _arrivals(rate: float | None, requests: int, seed: int) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    if rate is None:
        return None
    gaps = np.random.default_rng(seed).exponential(1 / rate, requests)
    return np.cumsum(gaps) - gaps[0]
