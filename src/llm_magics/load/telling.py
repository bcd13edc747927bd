"""What a worker tells of a run four times a second: counts since it began, pace and latency since it last spoke."""

from __future__ import annotations

import time
from typing import Any

from llm_magics.load.driver import Driver
from llm_magics.load.recorder import Recorder


class Telling:
    """Makes lines of progress (see `progress.Progress` for what becomes of them)."""

    def __init__(self) -> None:
        self._ttft_sum = self._ttft_count = self._chunks = 0
        self._at = time.monotonic()

    def line(self, step: int, driver: Driver, recorder: Recorder) -> dict[str, Any]:
        """The line of this moment."""
        chunks = recorder.counted_all + driver.in_flight.chunks
        now = time.monotonic()
        fresh = driver.ttft_count - self._ttft_count
        per_chunk = recorder.output_tokens / recorder.counted_chunks if recorder.counted_chunks else 1.0
        found = {
            "step": step,
            "done": driver.done,
            "errors": driver.errors,
            "in_flight": len(driver.in_flight),
            "ttft": (driver.ttft_sum - self._ttft_sum) / fresh / 1e9 if fresh else None,
            "fresh": fresh,
            "tokens_per_s": max(0.0, chunks - self._chunks) * per_chunk / max(now - self._at, 1e-6),
            "draining": driver.draining,
        }
        self._ttft_sum, self._ttft_count, self._chunks, self._at = driver.ttft_sum, driver.ttft_count, chunks, now
        return found
