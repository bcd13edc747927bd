"""What is measured about one request, and how it is written down while a run goes on.

The load generator appends these to a spool file as requests end; the parent reads the same file for live progress, and
a run whose kernel was killed is recovered from it. So the format is this module's, one JSON document a line:
first the header, then rows in any order, last (if the run ended by itself) the end. Workers that share a load write
to one file, each its own window, audit and end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

SPOOL_SCHEMA = 1

Status = Literal["ok", "error", "cancelled"]


@dataclass(slots=True)
class RequestRecord:
    """One request. Times are seconds since the run began, on the monotonic clock; None where it never happened.

    Attributes
    ----------
    point, repeat
        Which sweep point (index into the run's points) and which repetition of it.
    warmup
        True for requests sent before measuring; they are kept but never counted.
    intended
        When the schedule wanted it sent (open loop), or when its stream became free (closed loop).
    sent
        When its bytes were written to the socket.
    first_byte, first_token, last_token, done
        First byte of the answer; first and last chunk with content (text, reasoning or tool call; a role alone is
        none); end of the answer.
    prompt_tokens, output_tokens, cached_tokens
        As the server's `usage` says; None where it says nothing.
    first_tokens
        Tokens of the first chunk with content, where the server's `usage` counts them as they come.
    chunks
        Chunks with content.
    gaps
        Microseconds between successive chunks with content (`chunks - 1` integers).
    status, http_status, error
        `ok`, `error` (with the server's own words) or `cancelled`.
    finish
        The server's finish_reason: `stop`, `length` …
    asked_tokens
        Output tokens asked for (max_tokens), to see whether a fixed length was honoured.
    model
        The model that was asked, where a workload asks several (LoRA adapters).
    conversation, turn
        Which conversation of its point it belongs to, and which of its turns it is, from 0.
    valid
        1 when the answer is JSON that keeps the schema asked for, 0 when not; None where none was.
    """

    point: int
    index: int
    intended: float
    repeat: int = 0
    warmup: bool = False
    sent: float | None = None
    first_byte: float | None = None
    first_token: float | None = None
    last_token: float | None = None
    done: float | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    first_tokens: int | None = None
    cached_tokens: int | None = None
    asked_tokens: int | None = None
    conversation: int | None = None
    turn: int | None = None
    valid: int | None = None
    chunks: int = 0
    status: Status = "ok"
    http_status: int | None = None
    finish: str | None = None
    error: str | None = None
    model: str | None = None
    gaps: list[int] = field(default_factory=list)

    @property
    def ttft(self) -> float | None:
        """Time to first token, s, from the intended time: a client or server that is late cannot hide it."""
        return None if self.first_token is None else self.first_token - self.intended

    @property
    def e2e(self) -> float | None:
        """End-to-end latency, s: intended time to the last token."""
        return None if self.last_token is None else self.last_token - self.intended

    @property
    def tpot(self) -> float | None:
        """Time per output token after the first chunk, s: (t_last - t_first) / (n - n_first_chunk).

        Most servers do not count the tokens of the first chunk apart (`first_tokens`): a stream of n tokens in c
        chunks is then taken to carry n/c in each, which is exact for one token a chunk and for a fixed stream
        interval. None when all chunks came at one instant: then no pace was seen.
        """
        if self.first_token is None or self.last_token is None or not self.output_tokens or self.chunks < 2:
            return None
        if self.last_token <= self.first_token:
            return None
        first = self.first_tokens or 0
        after_first = self.output_tokens - (
            first if 0 < first < self.output_tokens else self.output_tokens / self.chunks
        )
        return (self.last_token - self.first_token) / after_first if after_first > 0 else None

    @property
    def lag(self) -> float | None:
        """How late the request was written, s."""
        return None if self.sent is None else self.sent - self.intended

    def to_json(self) -> dict[str, Any]:
        """The record as a spool row (without the fields that hold their default)."""
        row = {key: value for key, value in asdict(self).items() if value is not None and value != []}
        return {"kind": "request", **row}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> RequestRecord:
        """A record from a spool row; unknown keys are ignored."""
        known = {item.name for item in fields(cls)}
        return cls(**{key: value for key, value in row.items() if key in known})


@dataclass(slots=True)
class PointWindow:
    """When one repetition of a sweep point was measured (s since the run began), its warm-up not included."""

    point: int
    repeat: int
    start: float
    end: float

    @classmethod
    def of_all(cls, windows: Sequence[PointWindow]) -> PointWindow:
        """The window of a repetition that several workers shared."""
        start, end = min(window.start for window in windows), max(window.end for window in windows)
        return cls(windows[0].point, windows[0].repeat, start, end)

    def to_json(self) -> dict[str, Any]:
        """The window as a spool row."""
        return {"kind": "window", **asdict(self)}


@dataclass(slots=True)
class Audit:
    """What the client says about itself over one sweep point: whether its figures can be believed.

    `core` is the share of one core the busiest worker used; `loop_lag_p99` (s) how late its event loop woke;
    `chunks_per_read` how many chunks came coalesced; `held` the mean number of requests in flight.
    """

    point: int
    repeat: int
    core: float
    loop_lag_p99: float
    send_lag_p99: float
    chunks_per_read: float
    held: float
    workers: int = 1

    @classmethod
    def of_all(cls, audits: Sequence[Audit]) -> Audit:
        """What the workers that shared one repetition say together: the worst of each figure, and sums."""
        first = audits[0]
        if len(audits) == 1:
            return first
        return cls(
            first.point,
            first.repeat,
            core=max(audit.core for audit in audits),
            loop_lag_p99=max(audit.loop_lag_p99 for audit in audits),
            send_lag_p99=max(audit.send_lag_p99 for audit in audits),
            chunks_per_read=sum(audit.chunks_per_read for audit in audits) / len(audits),
            held=sum(audit.held for audit in audits),
            workers=sum(audit.workers for audit in audits),
        )

    def to_json(self) -> dict[str, Any]:
        """The audit as a spool row."""
        return {"kind": "audit", **asdict(self)}


@dataclass(slots=True)
class ServerSample:
    """The server's own metrics at one moment: portable name (`running`, `waiting`, `kv_usage` …) -> value.

    `clock` tells the clocks of pooled rounds apart: the first repetition that was measured on it.
    """

    t: float
    values: dict[str, float]
    clock: int = 0

    def to_json(self) -> dict[str, Any]:
        """The sample as a spool row."""
        return {"kind": "server", **asdict(self)}
