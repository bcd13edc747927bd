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
from functools import partial

from llm_magics.load.alarm import Alarm
from llm_magics.load.connection import Connection, Exchange
from llm_magics.load.held import Held
from llm_magics.load.kept import Kept
from llm_magics.load.phase import Phase
from llm_magics.load.pool import Pool
from llm_magics.load.prompts import Made
from llm_magics.load.recorder import Recorder
from llm_magics.load.refusals import Refusals
from llm_magics.load.reply import Reply
from llm_magics.load.stock import Stock

_clock = time.monotonic_ns
_BURST = 16  # sends between two looks at the network
_AHEAD = 20_000_000  # ns before it is due that an open loop opens the connection for a request
_MOST_AHEAD = 64
MOST_CHUNKS = 1_000_000  # of one answer: 8 MB of stamps, and longer than any model's context
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
        refusals: Refusals | None = None,
        drain: float | None = None,
    ) -> None:
        self.loop = loop
        self.reply = reply
        self.recorder = recorder
        self.timeout = timeout
        self.pool: Pool | None = None
        self.flying: dict[Exchange, Connection | None] = {}
        self.stopped = False
        self.drain = drain  # s after an open loop's last arrival; None: as `Phase.draining` says
        self.errors = 0
        self.done = 0
        self.ttft_sum = 0
        self.ttft_count = 0
        self.send_lag = array("q")
        self.held = Held(0)
        self._refusals = refusals
        self._phase: Phase | None = None
        self._stock: Stock | None = None
        self._alarm = Alarm(loop, self._due)

    async def play(self, phase: Phase, stock: Stock) -> None:
        """Send all of a phase and wait until it has come back."""
        self._phase, self._stock = phase, stock
        self.held = Held(phase.starts[0], begun=not phase.closed)
        self._due()
        await phase.idle

    def stop(self) -> None:
        """End everything now; what is in flight is recorded as cancelled."""
        self.stopped = True
        self._alarm.close()
        self._abandon()

    def expire(self) -> None:
        """Give up on requests that took longer than the time-out, and on answers that nobody has room for."""
        oldest = _clock() - int(self.timeout * 1e9)
        for exchange, connection in list(self.flying.items()):
            if connection is None or not exchange.sent:
                continue
            if exchange.sent < oldest:
                connection.abandon(self._too_late(exchange))
            elif len(exchange.reply.stamps) > MOST_CHUNKS:
                connection.abandon(f"The answer did not end within {MOST_CHUNKS:,} chunks.")

    @property
    def draining(self) -> float | None:
        """Seconds that requests in flight still have after an open loop's last arrival; None before it."""
        if self._phase is None or self.stopped or not self.flying:
            return None
        return self._phase.draining(_clock(), self.drain)

    def give_up_waiting(self) -> None:
        """End a step whose server is still busy with its queue long after the last arrival; what is left is cancelled.

        A rate beyond what a server carries leaves a queue that grows with the test, and takes longer than it to empty.
        """
        if self.draining == 0.0:
            self._abandon()

    def _abandon(self) -> None:
        """What is in flight is recorded as cancelled."""
        phase = self._phase
        if phase is None:
            return
        for exchange, connection in list(self.flying.items()):
            if connection is not None:
                connection.exchange = connection.reply = None
                connection.close()
            self.recorder.finished.append((exchange, exchange.point, phase.repeat, True))
        self.flying.clear()
        phase.end()

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
        pool, phase = self.pool, self._phase
        if pool is None or phase is None:
            return
        more = phase.cursor < len(phase.starts) or (phase.closed and phase.more(_clock()))
        wanted = len(phase.starts) if phase.closed and more else (2 + len(self.flying) // 4) * more
        while len(pool.idle) > wanted:
            pool.idle.pop(0).close()

    # Sending.

    def _due(self) -> None:
        phase = self._phase
        if self.stopped or phase is None:
            return
        starts, end = phase.starts, len(phase.starts)
        for _ in range(_BURST):
            if phase.cursor >= end:
                break
            when = starts[phase.cursor]
            now = _clock()
            if when > now:
                self._alarm.set(when if phase.closed else self._prepare(phase, now))
                return
            phase.cursor += 1
            if phase.more(when) and phase.room(when, len(self.flying)):
                self._launch(phase, when)
        else:
            self.loop.call_soon(self._due)  # let answers in between: their stamps are worth as much as our punctuality
            return
        if not self.held.begun:
            self.held.begin(len(self.flying))
        self._check(phase)

    def _launch(self, phase: Phase, intended: int) -> None:
        if phase.left is not None:
            phase.left -= 1
        if self._stock is None:
            raise RuntimeError("no prompts to send")
        index, made = self._stock.take()
        self._send(phase, index, intended, made)

    def _send(self, phase: Phase, index: int, intended: int, made: Made, turn: int = 0) -> None:
        exchange = Exchange(index, intended, made.payload, made.asked, self.reply(), warmup=phase.warmup)
        exchange.point = phase.point(intended)
        exchange.model, exchange.talk, exchange.turn = made.model, made.talk, turn
        self.held.note(len(self.flying), sending=True)
        pool = self.pool
        if pool is None:
            raise RuntimeError("no pool to send from")
        connection = pool.take()
        if connection is None:
            self._open_for(exchange)
            return
        self.flying[exchange] = connection
        connection.send(exchange)

    def _prepare(self, phase: Phase, now: int) -> int:
        """Open connections for the arrivals of the next moments; returns when to look again.

        No earlier and no more: an idle connection costs some servers a thread (llama.cpp has six by default), and
        enough of them stop it altogether.
        """
        first, pool = phase.starts[phase.cursor], self.pool
        if pool is None:
            return first
        due = phase.upcoming(now + _AHEAD, _MOST_AHEAD)
        for _ in range(due - len(pool.idle) - pool.opening):
            pool.open_soon(self._spare)
        if not due and not pool.idle and not pool.opening:
            return first - _AHEAD
        return first

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
        reply, phase = exchange.reply, self._phase
        self.held.note(len(self.flying))
        self.flying.pop(exchange, None)
        if phase is None:
            raise RuntimeError("an answer without a phase")
        # `expire` looks a few times a second: what ended between two looks is judged here, by its own times.
        if reply.error is None and exchange.sent and reply.done - exchange.sent > self.timeout * 1e9:
            reply.error = self._too_late(exchange)
        exchange.payload = b""
        self.recorder.finished.append((exchange, exchange.point, phase.repeat, False))
        phase.part_ends[exchange.point] = max(reply.done, phase.part_ends.get(exchange.point, 0))
        self.done += 1
        if reply.error:
            self.errors += 1
        elif reply.stamps:
            self.ttft_sum += reply.stamps[0] - exchange.intended
            self.ttft_count += 1
        if self._refusals is not None and not self.stopped and not self._refusals.goes_on(reply):
            self._refusals = None
        if not phase.warmup and exchange.sent:
            self.send_lag.append(exchange.sent - exchange.intended)
        if exchange.talk is not None and not self.stopped and phase.goes_on(exchange.talk, reply):
            self._continue(phase, exchange)
        elif phase.closed and not self.stopped and phase.more(reply.done) and phase.room(reply.done, len(self.flying)):
            if reply.error and phase.until is not None:
                phase.resting += 1
                self.loop.call_later(_PAUSE, self._rested, phase)
            else:
                self._launch(phase, reply.done)
        self._check(phase)

    def _continue(self, phase: Phase, exchange: Exchange) -> None:
        """The next turn, once the person has thought; it is made now, so that it is ready then."""
        talk, pause = exchange.talk, exchange.talk.pause()
        due = exchange.reply.done + pause
        if phase.closed and phase.until is not None and due >= phase.until:
            return
        made = talk.next(exchange.reply.text if isinstance(exchange.reply, Kept) else "")
        if not pause:
            self._send(phase, exchange.index + 1, due, made, talk.turn)
            return
        phase.resting += 1
        self.loop.call_later(
            max(0, due - _clock()) / 1e9, self._thought, phase, exchange.index + 1, due, made, talk.turn
        )

    def _thought(self, phase: Phase, index: int, due: int, made: Made, turn: int) -> None:
        if phase.over:
            return  # the step was given up meanwhile, and another may have begun
        # the loop's timers know milliseconds, and may be early by a part of one
        if _clock() < due and not self.stopped:
            self.loop.call_soon(self._thought, phase, index, due, made, turn)
            return
        phase.resting -= 1
        if not self.stopped:
            self._send(phase, index, due, made, turn)
        self._check(phase)

    def _rested(self, phase: Phase) -> None:
        phase.resting -= 1
        now = _clock()
        if not self.stopped and not phase.over and phase.more(now) and phase.room(now, len(self.flying)):
            self._launch(phase, now)
        self._check(phase)

    def _check(self, phase: Phase) -> None:
        if not self.flying and not phase.resting and phase.sent:
            phase.end()
