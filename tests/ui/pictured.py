"""Results as they look in real life, for the pictures: a server that gets slower as it gets busier.

What the pictures show is the shape of such results; no engine was measured for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from llm_magics.results.columns import Columns
from llm_magics.results.records import PointWindow, RequestRecord, ServerSample
from llm_magics.results.run import Run


def busy_run(
    name: str = "qwen",
    engine: str = "vllm",
    model: str = "Qwen/Qwen2.5-7B-Instruct",
    *,
    streams: Sequence[int] = (1, 8, 64),
    requests: int = 300,
    prefill: float = 0.020,
    decode: float = 0.0065,
    slots: int = 32,
    seed: int = 0,
    **header: Any,
) -> Run:
    """A closed-loop sweep: beyond `slots` requests wait, and every running one makes the others a little slower."""
    rng = np.random.default_rng(seed)
    records: list[RequestRecord] = []
    windows: list[PointWindow] = []
    samples: list[ServerSample] = []
    clock = 0.0
    for number, width in enumerate(streams):
        begin = clock + 0.2
        ends = np.full(width, begin) + rng.uniform(0, 0.05, width)
        running: list[float] = []
        for index in range(requests):
            stream = int(np.argmin(ends))
            sent = float(ends[stream])
            running = sorted(end for end in running if end > sent)
            waits = running[len(running) - slots] - sent if len(running) >= slots else 0.0
            load = min(width, slots)
            tokens = int(rng.integers(96, 161))
            first = sent + waits + prefill * (1 + 0.06 * load) * float(rng.lognormal(0, 0.22))
            pace = decode * (1 + 0.012 * load) * float(rng.lognormal(0, 0.05))
            last = first + pace * (tokens - 1)
            running.append(last)
            ends[stream] = last + 0.001
            records.append(
                RequestRecord(
                    point=number, index=index, intended=sent, sent=sent, first_byte=first, first_token=first,
                    last_token=last, done=last, prompt_tokens=512, output_tokens=tokens, asked_tokens=tokens,
                    chunks=tokens, http_status=200, finish="length",
                )
            )  # fmt: skip
        clock = float(max(ends))
        windows.append(PointWindow(number, 0, begin, clock))
        for t in np.arange(begin, clock, (clock - begin) / 60):
            flying = sum(r.sent <= t < r.done for r in records if r.point == number)  # type: ignore[operator]
            held = min(flying, slots)
            kv = min(0.97, held * 0.022 * float(rng.uniform(0.9, 1.1)))
            samples.append(ServerSample(float(t), {"running": held, "waiting": flying - held, "kv_usage": kv}))
    points = [{"arrival": "concurrent", "concurrency": n, "label": f"{n} stream{'s' * (n > 1)}"} for n in streams]
    workload = {
        "workload": "random", "endpoint": "chat", "input_tokens": 512, "output_tokens": 128, "output_spread": 0.25,
        "concurrency": list(streams), "requests": requests, "warmup": 2, "repeats": 1, "seed": 0,
        "ignore_eos": True, "temperature": 0.0, "slo": {"ttft": 0.5, "tpot": 0.010, "e2e": None},
    }  # fmt: skip
    fields = {
        "name": name, "label": name, "target": name, "engine": engine, "engine_version": "0.32.0", "model": model,
        "command": f"vllm serve {model} --max-model-len 8192", "started": 1_790_000_000.0, "workload": workload,
        "points": points, "schedule_hash": "a", "cores": 16, **header,
    }  # fmt: skip
    return Run(fields, Columns.of_records(records), windows=windows, samples=samples)


def rounds(count: int = 3, **how: Any) -> list[Run]:
    """Rounds of one server."""
    made = []
    for number in range(count):
        run = busy_run(seed=how.get("seed", 0) + number, **{key: value for key, value in how.items() if key != "seed"})
        run.header["workload"] = {**run.workload, "seed": number}
        run.header["schedule_hash"] = f"round {number}"
        made.append(run)
    return made


def hostile(run: Run, text: str) -> Run:
    """The same run with a text wherever a user or an engine may have written one."""
    header = {**run.header, "name": text, "label": text, "model": text, "engine_version": text, "command": text}
    header["points"] = [{**point, "label": f"{text} {number}"} for number, point in enumerate(run.header["points"])]
    columns = replace(run.columns, words=(text,), error=np.zeros(len(run.columns), dtype=np.int64))
    return Run(header, columns, windows=run.windows, samples=run.server_samples)
