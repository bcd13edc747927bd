"""Sends one step's requests when they are due: the two loops, on connections that stand already.

Open loop: every request has its intended time from the schedule; a late client sends late and the lateness is in the
record. Closed loop: a stream sends when its last request ended; that moment is the intended time of the next. In
either, a conversation goes on when its last answer has ended and the person has thought; it holds its stream until its
end.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from bisect import bisect_right
from collections.abc import Callable
from functools import partial

from llm_magics.load.alarm import Alarm
from llm_magics.load.connection import Connection, Exchange
from llm_magics.load.kept import Kept
from llm_magics.load.pool import Pool
from llm_magics.load.prompts import Made, Stock
from llm_magics.load.recorder import Recorder
from llm_magics.load.reply import Reply

_clock = time.monotonic_ns
_BURST = 16  # sends between two looks at the network
_AHEAD = 20_000_000  # ns before it is due that an open loop opens the connection for a request
_MOST_AHEAD = 64
_TRANSIENT = frozenset({408, 425, 429})  # what a server refuses now and may take later
_LEAST_DRAIN = 60.0  # s after the last arrival that answers have at least; else twice as long as arrivals took
_PAUSE = 0.1  # s that a stream rests after an error, where a clock and not a count ends the point


class Driver:
    """Runs phases of load, one at a time; told by the connections what became of each request."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        recorder: Recorder,
        timeout: float,
        reply: type[Reply] = Reply,
        *,
        patience: int = 0,
        on_hopeless: Callable[[str], None] | None = None,
        drain: float | None = None,
    ) -> None:
        self.loop = loop
        self.reply = reply
        self.recorder = recorder
        self.timeout = timeout
        self.pool: Pool | None = None
        self.flying: dict[Exchange, Connection | None] = {}
        self.stopped = False
        self.patience = patience  # requests that may be refused alike from the start on; 0 for any number
        self.on_hopeless = on_hopeless
        self.drain = drain  # s after an open loop's last arrival; None: as `_LEAST_DRAIN` says
        self._refusals: list[int] | None = []  # HTTP statuses; None once anything else has come back
        self.errors = 0
        self.done = 0
        self.ttft_sum = 0
        self.ttft_count = 0
        self.send_lag = array("q")
        self.held_area = 0
        self._held_at = 0
        self._held_since: tuple[int, int] | None = None
        self.held = 0.0
        self._starts: list[int] = []
        self._cursor = 0
        self._closed = self._warmup = False
        self._alarm = Alarm(loop, self._due)
        self._idle: asyncio.Future[None] | None = None

    async def phase(
        self,
        stock: Stock,
        *,
        point: int,
        repeat: int,
        starts: list[int],
        closed: bool,
        count: int | None,
        until: int | None,
        warmup: bool,
        stops: list[int] | None = None,
        parts: list[tuple[int, int]] | None = None,
    ) -> None:
        """Send and wait until all has come back.

        Parameters
        ----------
        starts
            Monotonic times (ns), ascending: arrivals of an open loop, starts of the streams of a closed one.
        count, until
            What ends a closed loop: requests in all, or the time (ns) after which no stream sends again.
        stops
            Times (ns), ascending, at which a closed loop has one stream less.
        parts
            When each point of several begins (ns), and its number: requests belong to the one they are intended in.
        """
        self._stops = stops or []
        self._parts = parts or [(0, point)]
        self.part_ends: dict[int, int] = {}
        self._stock, self._repeat, self._warmup = stock, repeat, warmup
        self._starts, self._cursor, self._closed = starts, 0, closed
        self._left = count if closed else len(starts)
        self._until = until
        self._resting = 0
        self.held_area, self._held_at, self.held = 0, starts[0], 0.0
        self._held_since = None if closed else (starts[0], 0)
        self._idle = self.loop.create_future()
        self._due()
        await self._idle

    def stop(self) -> None:
        """End everything now; what is in flight is recorded as cancelled."""
        self.stopped = True
        self._alarm.close()
        self._abandon()

    def expire(self) -> None:
        """Give up on requests that took longer than the time-out."""
        oldest = _clock() - int(self.timeout * 1e9)
        for exchange, connection in list(self.flying.items()):
            if connection is not None and exchange.sent and exchange.sent < oldest:
                connection.abandon(self._too_late(exchange))

    @property
    def draining(self) -> float | None:
        """Seconds that requests in flight still have after an open loop's last arrival; None before it."""
        if self.stopped or self._closed or self._warmup or self._cursor < len(self._starts) or not self.flying:
            return None
        limit = self.drain
        if limit is None:
            limit = max(_LEAST_DRAIN, 2 * (self._starts[-1] - self._starts[0]) / 1e9)
        return max(0.0, limit - (_clock() - self._starts[-1]) / 1e9)

    def give_up_waiting(self) -> None:
        """End a step whose server is still busy with its queue long after the last arrival; what is left is cancelled.

        A rate beyond what a server carries leaves a queue that grows with the test, and takes longer than it to empty.
        """
        if self.draining == 0.0:
            self._abandon()

    def _abandon(self) -> None:
        """What is in flight is recorded as cancelled."""
        for exchange, connection in list(self.flying.items()):
            if connection is not None:
                connection.exchange = connection.reply = None
                connection.close()
            self.recorder.finished.append((exchange, exchange.point, self._repeat, True))
        self.flying.clear()
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _too_late(self, exchange: Exchange) -> str:
        what = "the answer did not end" if exchange.reply.first_byte else "no answer"
        return f"Time-out: {what} within {self.timeout:g} s."

    @property
    def chunks_in_flight(self) -> int:
        """Chunks with content that requests still running have received."""
        return sum(len(exchange.reply.stamps) for exchange in self.flying)

    # Owner of the connections.

    def ended(self, connection: Connection, exchange: Exchange) -> None:
        """The exchange is over; its reply says how."""
        if connection.alive and self.pool is not None:
            self.pool.give(connection)
        self._settle(exchange)
        self._thin()

    def unused(self, connection: Connection, exchange: Exchange) -> None:
        """The server dropped a kept connection as the request was written: once more, on a new one."""
        exchange.retried = True
        self._open_for(exchange)

    def lost(self, connection: Connection) -> None:
        """An idle connection was closed by the server."""
        if self.pool is not None and connection in self.pool.idle:
            self.pool.idle.remove(connection)

    def _thin(self) -> None:
        """Close idle connections that nobody is going to need: other requests may be waiting for their thread."""
        pool = self.pool
        if pool is None:
            return
        more = self._cursor < len(self._starts) or (self._closed and self._more(_clock()))
        wanted = len(self._starts) if self._closed and more else (2 + len(self.flying) // 4) * more
        while len(pool.idle) > wanted:
            pool.idle.pop(0).close()

    # Sending.

    def _due(self) -> None:
        if self.stopped:
            return
        starts, end = self._starts, len(self._starts)
        for _ in range(_BURST):
            if self._cursor >= end:
                break
            when = starts[self._cursor]
            now = _clock()
            if when > now:
                self._alarm.set(when if self._closed else self._prepare(now))
                return
            self._cursor += 1
            if self._more(when) and self._room(when):
                self._launch(when)
        else:
            self.loop.call_soon(self._due)  # let answers in between: their stamps are worth as much as our punctuality
            return
        if self._closed and self._held_since is None:
            self._hold()
            self._held_since = (self._held_at, self.held_area)
        self._check()

    def _more(self, now: int) -> bool:
        return (self._left is None or self._left > 0) and (self._until is None or now < self._until)

    def _room(self, now: int) -> bool:
        """Whether a closed loop has fewer requests under way than streams."""
        if not self._stops or not self._closed:
            return True
        return len(self.flying) + self._resting < self._cursor - bisect_right(self._stops, now)

    def _launch(self, intended: int) -> None:
        if self._left is not None:
            self._left -= 1
        index, made = self._stock.take()
        self._send(index, intended, made)

    def _send(self, index: int, intended: int, made: Made, turn: int = 0) -> None:
        exchange = Exchange(index, intended, made.payload, made.asked, self.reply(), warmup=self._warmup)
        exchange.point = self._parts[bisect_right(self._parts, (intended, 1 << 62)) - 1][1]
        exchange.model, exchange.talk, exchange.turn = made.model, made.talk, turn
        self._hold(sending=True)
        pool = self.pool
        if pool is None:
            raise RuntimeError("no pool to send from")
        connection = pool.take()
        if connection is None:
            self._open_for(exchange)
            return
        self.flying[exchange] = connection
        connection.send(exchange)

    def _prepare(self, now: int) -> int:
        """Open connections for the arrivals of the next moments; returns when to look again.

        No earlier and no more: an idle connection costs some servers a thread (llama.cpp has six by default), and
        enough of them stop it altogether.
        """
        starts, first, pool = self._starts, self._cursor, self.pool
        if pool is None:
            return starts[first]
        due = 0
        while due < _MOST_AHEAD and first + due < len(starts) and starts[first + due] <= now + _AHEAD:
            due += 1
        for _ in range(due - len(pool.idle) - pool.opening):
            pool.open_soon(self._spare)
        if not due and not pool.idle and not pool.opening:
            return starts[first] - _AHEAD
        return starts[first]

    def _open_for(self, exchange: Exchange) -> None:
        self.flying[exchange] = None
        if self.pool is not None:
            self.pool.open_soon(partial(self._opened, exchange))

    def _spare(self, connection: Connection | None, error: str | None) -> None:
        if connection is not None and self.pool is not None:
            self.pool.give(connection)

    def _opened(self, exchange: Exchange, connection: Connection | None, error: str | None) -> None:
        if exchange not in self.flying:  # stopped meanwhile
            if connection is not None:
                connection.close()
            return
        if connection is None:
            exchange.reply.fail(f"No connection to the server: {error}.", _clock())
            self._settle(exchange)
            return
        self.flying[exchange] = connection
        connection.send(exchange)

    def _settle(self, exchange: Exchange) -> None:
        reply = exchange.reply
        self._hold()
        self.flying.pop(exchange, None)
        # `expire` looks a few times a second: what ended between two looks is judged here, by its own times.
        if reply.error is None and exchange.sent and reply.done - exchange.sent > self.timeout * 1e9:
            reply.error = self._too_late(exchange)
        exchange.payload = b""
        self.recorder.finished.append((exchange, exchange.point, self._repeat, False))
        self.part_ends[exchange.point] = max(reply.done, self.part_ends.get(exchange.point, 0))
        self.done += 1
        if reply.error:
            self.errors += 1
        elif reply.stamps:
            self.ttft_sum += reply.stamps[0] - exchange.intended
            self.ttft_count += 1
        self._despair(reply)
        if not self._warmup and exchange.sent:
            self.send_lag.append(exchange.sent - exchange.intended)
        if self._goes_on(exchange):
            self._continue(exchange)
        elif self._closed and not self.stopped and self._more(reply.done) and self._room(reply.done):
            if reply.error and self._until is not None:
                self._resting += 1
                self.loop.call_later(_PAUSE, self._rested)
            else:
                self._launch(reply.done)
        self._check()

    def _goes_on(self, exchange: Exchange) -> bool:
        """Whether a conversation has another turn to send: not after an error, not past a closed loop's end."""
        talk, reply = exchange.talk, exchange.reply
        if talk is None or talk.over or reply.error or self._warmup or self.stopped:
            return False
        return not self._closed or self._until is None or reply.done < self._until

    def _continue(self, exchange: Exchange) -> None:
        """The next turn, once the person has thought; it is made now, so that it is ready then."""
        talk, pause = exchange.talk, exchange.talk.pause()
        due = exchange.reply.done + pause
        if self._closed and self._until is not None and due >= self._until:
            return
        made = talk.next(exchange.reply.text if isinstance(exchange.reply, Kept) else "")
        if not pause:
            self._send(exchange.index + 1, due, made, talk.turn)
            return
        self._resting += 1
        self.loop.call_later(
            max(0, due - _clock()) / 1e9, partial(self._thought, self._idle, exchange.index + 1, due, made, talk.turn)
        )

    def _thought(self, phase: asyncio.Future[None] | None, index: int, due: int, made: Made, turn: int) -> None:
        if phase is not self._idle or self._idle is None or self._idle.done():
            return  # the step was given up meanwhile, and another may have begun
        if (
            _clock() < due and not self.stopped
        ):  # the loop's timers know milliseconds, and may be early by a part of one
            self.loop.call_soon(self._thought, phase, index, due, made, turn)
            return
        self._resting -= 1
        if not self.stopped:
            self._send(index, due, made, turn)
        self._check()

    def _despair(self, reply: Reply) -> None:
        """Tell when the run's first requests were all refused with one status: the others fare no better."""
        if self._refusals is None or self.stopped:
            return
        status = reply.status if reply.error else None
        if status is None or not 400 <= status < 500 or status in _TRANSIENT or {status, *self._refusals} != {status}:
            self._refusals = None
            return
        self._refusals.append(status)
        if len(self._refusals) == self.patience and self.on_hopeless is not None:
            self.on_hopeless(f"the first {self.patience} requests were all refused alike: {reply.error}")

    def _rested(self) -> None:
        self._resting -= 1
        now = _clock()
        if not self.stopped and self._more(now) and self._room(now):
            self._launch(now)
        self._check()

    def _check(self) -> None:
        if self.flying or self._resting or self._idle is None or self._idle.done():
            return
        if self._cursor >= len(self._starts) or not self._more(self._starts[self._cursor]):
            self._idle.set_result(None)

    def _hold(self, *, sending: bool = False) -> None:
        """Integrate the requests in flight; `held` is their mean from the ramp's end to the last send."""
        now = _clock()
        self.held_area += len(self.flying) * (now - self._held_at)
        self._held_at = now
        if sending and self._held_since is not None:
            since, area = self._held_since
            if now > since:
                self.held = (self.held_area - area) / (now - since)


def ramp(start: int, streams: int, step: float) -> list[int]:
    """Start times (ns) of a closed loop's streams."""
    return [start + round(stream * step * 1e9) for stream in range(streams)]
