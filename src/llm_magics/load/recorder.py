"""Writes the spool while the run goes on: off the hot path, in small portions, one writer for one file.

Rows have the format of `results.records`, written out here by hand because a thousand gaps per request must not pass
through `dataclasses.asdict` between two reads of the network (a test holds the two together).
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import orjson

from llm_magics.load.connection import Exchange
from llm_magics.load.kept import Kept
from llm_magics.load.reply import Reply

_BILLION = 1e9


class Recorder:
    """Appends rows to the spool, an open descriptor. `origin` is the monotonic time (ns) that its times count from."""

    def __init__(self, descriptor: int, origin: int) -> None:
        self.origin = origin
        self.finished: deque[tuple[Exchange, int, int, bool]] = deque()
        self.chunks = 0  # with content, of the step so far
        self.content_reads = 0  # reads that brought any
        self.counted_all = 0  # chunks of every finished request of the run
        self.output_tokens = 0
        self.counted_chunks = 0
        self.valid: Callable[[str], bool] | None = None  # whether the text of an answer is what was asked for
        self._rows: list[bytes] = []
        self._fd = descriptor

    def seconds(self, when: int) -> float:
        """Seconds since the run began."""
        return (when - self.origin) / _BILLION

    def drain(self, budget: float = 60.0) -> None:
        """Turn finished exchanges into rows for at most `budget` seconds."""
        until = time.monotonic() + budget
        while self.finished and time.monotonic() < until:
            self._request(*self.finished.popleft())

    def row(self, row: dict[str, Any]) -> None:
        """One more row."""
        self._rows.append(orjson.dumps(row))

    def flush(self) -> None:
        """Hand the rows to the system.

        Raises
        ------
        OSError
            When the disk is full or the file is gone.
        """
        if not self._rows:
            return
        data = memoryview(b"\n".join(self._rows) + b"\n")
        self._rows = []
        while data:
            data = data[os.write(self._fd, data) :]

    def close(self) -> None:
        """Write what is left and close."""
        self.drain()
        self.flush()
        os.close(self._fd)

    def _valid(self, reply: Reply) -> int | None:
        return int(self.valid(reply.text)) if self.valid is not None and isinstance(reply, Kept) else None

    def _request(self, exchange: Exchange, point: int, repeat: int, cancelled: bool) -> None:
        reply = exchange.reply
        stamps = reply.stamps
        row: dict[str, Any] = {
            "kind": "request",
            "point": point,
            "index": exchange.index,
            "intended": self.seconds(exchange.intended),
            "repeat": repeat,
            "warmup": exchange.warmup,
            "chunks": len(stamps),
            "status": "error" if reply.error else "cancelled" if cancelled else "ok",
        }
        if exchange.sent:
            row["sent"] = self.seconds(exchange.sent)
        if reply.first_byte:
            row["first_byte"] = self.seconds(reply.first_byte)
        if stamps:
            row["first_token"] = self.seconds(stamps[0])
            row["last_token"] = self.seconds(stamps[-1])
        if reply.done:
            row["done"] = self.seconds(reply.done)
        if len(stamps) > 1:
            times = stamps.tolist()
            gaps = [after - before for before, after in pairwise(times)]
            row["gaps"] = [(gap + 500) // 1000 for gap in gaps]
            self.content_reads += len(stamps) - gaps.count(0)
        else:
            self.content_reads += len(stamps)
        self.chunks += len(stamps)
        self.counted_all += len(stamps)
        if reply.output_tokens and stamps:
            self.output_tokens += reply.output_tokens
            self.counted_chunks += len(stamps)
        for key, value in (
            ("prompt_tokens", reply.prompt_tokens),
            ("output_tokens", reply.output_tokens),
            ("first_tokens", reply.first_tokens),
            ("cached_tokens", reply.cached_tokens),
            ("asked_tokens", exchange.asked),
            ("http_status", reply.status),
            ("finish", reply.finish),
            ("error", reply.error),
            ("model", exchange.model),
            ("conversation", exchange.talk.index if exchange.talk is not None else None),
            ("turn", exchange.turn if exchange.talk is not None else None),
            ("valid", self._valid(reply) if not reply.error and not cancelled else None),
        ):
            if value is not None:
                row[key] = value
        self._rows.append(orjson.dumps(row))
