"""What the tests of views show: runs from the results' own synthetic server, and stand-ins for records."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "results"))

from synthetic import synthetic_run

from llm_magics.results.answers import Answer
from llm_magics.results.comparison import Comparison
from llm_magics.results.run import Run
from llm_magics.runtime.record import Record

ATTACK = "<img src=x onerror=alert(1)>"


def bench(**how: Any) -> Run:
    """The bench that sizes are promised for: three points of 300 requests."""
    return synthetic_run(**{"concurrency": [1, 8, 64], "requests": 300, "noise": 0.2, "slo": {"ttft": 0.055}, **how})


def compared(sides: int = 2, rounds: int = 3) -> Comparison:
    """Sides whose TTFT differs clearly and whose throughput does not."""
    return Comparison.of_runs(
        {
            f"side{side}": [
                synthetic_run(
                    name=f"side{side}", concurrency=[1, 8], requests=120, ttft=0.050 * (1 + 0.5 * side), noise=0.1,
                    seed=10 * side + number, workload_seed=number, slo={"ttft": 0.06},
                )
                for number in range(rounds)
            ]
            for side in range(sides)
        }
    )  # fmt: skip


def record(**how: Any) -> Record:
    """A server's record."""
    now = time.time()
    facts = {
        "name": "qwen", "engine": "vllm", "engine_version": "0.32.0", "model": "org/model", "served_model": "org/model",
        "state": "ready", "created": now - 20, "ready_at": now - 8, "host": "127.0.0.1", "url": "http://127.0.0.1:4123",
        "reuse_key": "k", "spec": {}, "supervisor": {},
    }  # fmt: skip
    return Record(**{**facts, **how})


def answer(**how: Any) -> Answer:
    """A whole answer."""
    facts = {"name": "a", "model": "m", "text": "hello", "ttft": 0.0123, "tokens": 1234, "tokens_per_s": 88.8}
    return Answer(**{**facts, "finish": "stop", **how})
