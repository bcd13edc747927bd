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

from llm_magics.load.alarm import Alarm
from llm_magics.load.connection import Exchange
from llm_magics.load.held import Held
from llm_magics.load.in_flight import InFlight
from llm_magics.load.kept import Kept
from llm_magics.load.phase import Phase
from llm_magics.load.prompts import Made
from llm_magics.load.recorder import Recorder
from llm_magics.load.refusals import Refusals
from llm_magics.load.reply import Reply
from llm_magics.load.stock import Stock

_clock = time.monotonic_ns
_BURST = 16  # sends between two looks at the network
_AHEAD = 20_000_000  # ns before it is due that an open loop opens the connection for a request
_MOST_AHEAD = 64
_PAUSE = 0.1  # s that a stream rests after an error, where a clock and not a count ends the point


class Driver:
    """Runs phases of load, one at a time; told what became of each request."""

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
        self.in_flight = InFlight(self, timeout)
        self.stopped = False
        self.drain = drain  # s after an open loop's last arrival; None: as `Phase.draining` says
        self.errors = 0
        self.done = 0
        self.ttft_sum = 0
        self.ttft_count = 0
        self.send_lag = array("q")
        self._refusals = refusals
        self._phase: Phase | None = None
        self._stock: Stock | None = None
        self._alarm = Alarm(loop, self._due)

    async def play(self, phase: Phase, stock: Stock) -> None:
        """Send all of a phase and wait until it has come back."""
        self._phase, self._stock = phase, stock
        self.in_flight.held = Held(phase.starts[0], begun=not phase.closed)
        self._due()
        await phase.idle

    def stop(self) -> None:
        """End everything now; what is in flight is recorded as cancelled."""
        self.stopped = True
        self._alarm.close()
        self._abandon()

    @property
    def draining(self) -> float | None:
        """Seconds that requests in flight still have after an open loop's last arrival; None before it."""
        if self._phase is None or self.stopped or not self.in_flight:
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
        for exchange in self.in_flight.drop():
            self.recorder.finished.append((exchange, exchange.point, phase.repeat, True))
        phase.end()

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
            if phase.more(when) and phase.room(when, len(self.in_flight)):
                self._launch(phase, when)
        else:
            self.loop.call_soon(self._due)  # let answers in between: their stamps are worth as much as our punctuality
            return
        if not self.in_flight.held.begun:
            self.in_flight.held.begin(len(self.in_flight))
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
        self.in_flight.send(exchange)

    def _prepare(self, phase: Phase, now: int) -> int:
        """Have connections for the arrivals of the next moments, no earlier; returns when to look again."""
        due = phase.upcoming(now + _AHEAD, _MOST_AHEAD)
        connected = self.in_flight.prepare(due)
        first = phase.starts[phase.cursor]
        return first if due or connected else first - _AHEAD

    # What follows from an answer.

    def settled(self, exchange: Exchange) -> None:
        """The request is in flight no more: note it, and send what its stream or its conversation sends next."""
        reply, phase = exchange.reply, self._phase
        if phase is None:
            raise RuntimeError("an answer without a phase")
        self.recorder.finished.append((exchange, exchange.point, phase.repeat, False))
        phase.part_ends[exchange.point] = max(reply.done, phase.part_ends.get(exchange.point, 0))
        self._count(exchange, phase)
        if self._refusals is not None and not self.stopped and not self._refusals.goes_on(reply):
            self._refusals = None
        if exchange.talk is not None and not self.stopped and phase.goes_on(exchange.talk, reply):
            self._continue(phase, exchange)
        elif (
            phase.closed and not self.stopped and phase.more(reply.done) and phase.room(reply.done, len(self.in_flight))
        ):
            if reply.error and phase.until is not None:
                phase.resting += 1
                self.loop.call_later(_PAUSE, self._rested, phase)
            else:
                self._launch(phase, reply.done)
        self._check(phase)

    @property
    def worth_keeping(self) -> int | None:
        """How many idle connections the rest of the phase may need; None before one began."""
        phase = self._phase
        if phase is None:
            return None
        more = phase.cursor < len(phase.starts) or (phase.closed and phase.more(_clock()))
        return len(phase.starts) if phase.closed and more else (2 + len(self.in_flight) // 4) * more

    def _count(self, exchange: Exchange, phase: Phase) -> None:
        reply = exchange.reply
        self.done += 1
        if reply.error:
            self.errors += 1
        elif reply.stamps:
            self.ttft_sum += reply.stamps[0] - exchange.intended
            self.ttft_count += 1
        if not phase.warmup and exchange.sent:
            self.send_lag.append(exchange.sent - exchange.intended)

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
        if not self.stopped and not phase.over and phase.more(now) and phase.room(now, len(self.in_flight)):
            self._launch(phase, now)
        self._check(phase)

    def _check(self, phase: Phase) -> None:
        if not self.in_flight and not phase.resting and phase.sent:
            phase.end()
