"""Many small load tests of servers with known truth, fast enough to play a thousand: for the tests of the verdict.

Each stream sends its next request when the last one ended. What differs from request to request (`noise`), drifts
slowly within a round (`drift`, so that neighbours resemble each other) and changes from round to round (`round_noise`:
a restart, a neighbour, a warm machine) is set apart, because a verdict that knows only the first is wrong too often.
"""

from __future__ import annotations

import numpy as np

from llm_magics.results.columns import Columns
from llm_magics.results.records import PointWindow
from llm_magics.results.run import Run


def simulated_run(
    rng: np.random.Generator,
    *,
    name: str = "a",
    seed: int = 0,
    requests: int = 100,
    streams: int | None = 4,
    rate: float = 20.0,
    ttft: float = 0.05,
    tpot: float = 0.01,
    tokens: int = 64,
    noise: float = 0.1,
    drift: float = 0.0,
    round_noise: float = 0.0,
    slo: dict[str, float] | None = None,
    load: float = 0.0,
    tail: float = 0.0,
    warm: float = 1.0,
) -> Run:
    """One round at one point, closed loop with `streams` or open loop with `rate`; times in seconds.

    With `load` the server is a queue: first tokens are made one request after another (so the first requests, which
    come all at once, wait for each other), and a stream is slower by `load` for each other one beside it.
    With `tail` that share of the requests is slow by a Pareto factor (index 2.5, so its variance is large). `warm` is
    what the machine itself does to this round: a factor on every time.
    """
    mood = np.zeros(requests)
    for i in range(1, requests):
        mood[i] = 0.8 * mood[i - 1] + 0.6 * drift * rng.normal()
    slow = warm * np.exp(mood + round_noise * rng.normal())
    if tail:
        slow = slow * np.where(rng.random(requests) < tail, 1 + rng.pareto(2.5, requests), 1.0)
    first = ttft * slow * np.exp(noise * rng.normal(size=requests))
    stream_time = tpot * (tokens - 1) * slow * np.exp(noise * rng.normal(size=requests))
    if streams is None:
        intended = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, requests))
    else:
        free, ready = np.zeros(streams), 0.0
        intended = np.zeros(requests)
        for i in range(requests):
            stream = int(np.argmin(free))
            intended[i] = free[stream]
            if load:
                ready = max(intended[i], ready) + first[i]
                first[i] = ready - intended[i]
                stream_time[i] *= 1 + load * np.sum(np.delete(free, stream) > ready)
            free[stream] += first[i] + stream_time[i]
    last = intended + first + stream_time
    zeros, none = np.zeros(requests, dtype=np.int64), np.full(requests, -1, dtype=np.int64)
    columns = Columns(
        point=zeros, index=np.arange(requests), repeat=zeros, chunks=zeros + tokens,
        warmup=np.zeros(requests, dtype=np.bool_), status=np.zeros(requests, dtype=np.int8),
        intended=intended, sent=intended, first_byte=intended + first, first_token=intended + first, last_token=last,
        done=last, prompt_tokens=zeros + 128, output_tokens=zeros + tokens, cached_tokens=none, asked_tokens=none,
        http_status=none, first_tokens=none, finish=none, error=none,
        conversation=none, turn=none, valid=none, model=none,
        gap_start=np.arange(requests + 1) * (tokens - 1),
        gaps=np.repeat(stream_time / (tokens - 1) * 1e6, tokens - 1).astype(np.int32),
    )  # fmt: skip
    asked = {"arrival": "concurrent", "concurrency": streams, "label": f"{streams} streams"}
    if streams is None:
        asked = {"arrival": "poisson", "rate": rate, "label": f"{rate:g} req/s"}
    header = {"name": name, "points": [asked], "workload": {"seed": seed, "slo": slo or {}}, "started": 1.79e9}
    return Run(header, columns, windows=[PointWindow(0, 0, 0.0, float(last.max()))])
