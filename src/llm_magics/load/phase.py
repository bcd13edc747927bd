"""What one step has still to send, and until when: asked by the driver's loops, which do the sending."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

from llm_magics.load.conversations import Conversation
from llm_magics.load.reply import Reply

_END = 1 << 62  # later than any time
_LEAST_DRAIN = 60.0  # s after the last arrival that answers have at least; else twice as long as arrivals took


class Phase:
    """A step, or its warm-up, while it goes on; all times are monotonic, ns.

    Attributes
    ----------
    starts
        Ascending: arrivals of an open loop, starts of the streams of a closed one; `cursor` of them are past.
    left
        Requests that may still be sent; None where a time ends it.
    until
        When no stream of a closed loop sends again; None where a count ends it.
    resting
        Streams of a closed loop between two requests: after an error, or while a person thinks.
    part_ends
        Point -> when its last request ended.
    idle
        Done when all has come back, or was given up.
    """

    __slots__ = (
        "_parts", "_stops", "closed", "cursor", "idle", "left", "part_ends", "repeat", "resting", "starts", "until",
        "warmup",
    )  # fmt: skip

    def __init__(
        self,
        starts: list[int],
        parts: list[tuple[int, int]],
        repeat: int,
        *,
        closed: bool,
        count: int | None,
        until: int | None = None,
        stops: Sequence[int] = (),
        warmup: bool = False,
    ) -> None:
        self.starts, self.cursor = starts, 0
        self.repeat, self.closed, self.warmup = repeat, closed, warmup
        self.left = count if closed else len(starts)
        self.until = until
        self.resting = 0
        self.part_ends: dict[int, int] = {}
        self.idle: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stops = stops  # ascending: when a closed loop has one stream less
        self._parts = parts  # when each point begins, and its number; a request is of the one it is intended in

    @classmethod
    def of(cls, step: dict[str, Any], start: int) -> Phase:
        """A step of the plan that begins at a time."""

        def at(seconds: float) -> int:
            return start + round(seconds * 1e9)

        closed = "streams" in step
        parts = step.get("parts") or [{"point": step["point"], "start": 0.0}]
        return cls(
            [at(when) for when in step["starts" if closed else "times"]],
            [(at(part["start"]), part["point"]) for part in parts],
            step["repeat"],
            closed=closed,
            count=step["requests"],
            until=at(step["duration"]) if closed and step["duration"] is not None else None,
            stops=[at(when) for when in step.get("stops", ())],
        )

    @classmethod
    def before(cls, step: dict[str, Any], start: int, streams: int) -> Phase:
        """The warm-up of a step, by so many streams."""
        starts = [start + round(stream * step["stagger"] * 1e9) for stream in range(streams)]
        return cls(starts, [(start, step["point"])], step["repeat"], closed=True, count=step["warmup"], warmup=True)

    def windows(self, end: int) -> Iterator[tuple[int, int, int]]:
        """Each point that was reached, when it began, and when it and its last request had ended; `end` is now."""
        for (since, point), until in zip(self._parts, [*(begin for begin, _ in self._parts[1:]), end], strict=True):
            if since < end:
                yield point, since, min(end, max(until, self.part_ends.get(point, 0)))

    def more(self, now: int) -> bool:
        """Whether another request may be sent."""
        return (self.left is None or self.left > 0) and (self.until is None or now < self.until)

    def room(self, now: int, flying: int) -> bool:
        """Whether a closed loop has fewer requests under way than streams."""
        if not self._stops or not self.closed:
            return True
        return flying + self.resting < self.cursor - bisect_right(self._stops, now)

    def point(self, intended: int) -> int:
        """The point of a request."""
        if len(self._parts) == 1:
            return self._parts[0][1]
        return self._parts[bisect_right(self._parts, (intended, _END)) - 1][1]

    def goes_on(self, talk: Conversation, reply: Reply) -> bool:
        """Whether a conversation has another turn to send: not after an error, not past a closed loop's end."""
        if talk.over or reply.error or self.warmup:
            return False
        return not self.closed or self.until is None or reply.done < self.until

    def draining(self, now: int, limit: float | None) -> float | None:
        """Seconds that answers still have after an open loop's last arrival; None before it.

        `limit` is how long they have in all; None for twice as long as the arrivals took, but `_LEAST_DRAIN`.
        """
        if self.closed or self.warmup or self.cursor < len(self.starts):
            return None
        if limit is None:
            limit = max(_LEAST_DRAIN, 2 * (self.starts[-1] - self.starts[0]) / 1e9)
        return max(0.0, limit - (now - self.starts[-1]) / 1e9)

    def upcoming(self, until: int, most: int) -> int:
        """How many arrivals there are until a time, the first `most` of them."""
        return bisect_right(self.starts, until, self.cursor, min(len(self.starts), self.cursor + most)) - self.cursor

    @property
    def sent(self) -> bool:
        """Whether nothing will be sent but what follows from what is under way."""
        return self.cursor >= len(self.starts) or not self.more(self.starts[self.cursor])

    def end(self) -> None:
        """All has come back, or was given up."""
        if not self.idle.done():
            self.idle.set_result(None)

    @property
    def over(self) -> bool:
        """Whether `end` was called."""
        return self.idle.done()
