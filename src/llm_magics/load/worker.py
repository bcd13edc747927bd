"""The process that makes the load: `python -m llm_magics.load.worker`.

It is its own process so that the kernel's work, its garbage and its own loop cannot blur a time stamp. The plan comes
as one line on stdin (never in argv: it holds the API key), after it the server's samples to be recorded; the end of
stdin means stop: the user cancelled, or the kernel is dead. Four times a second a line of progress goes to stdout.
Where several workers share a load, each tells that it is ready for a step and is told the moment at which all begin.
Exit status: 0 complete, 3 cancelled, 4 could not record, 5 given up because the server refused all of the first
requests; another one is a bug of ours, which ends the load, is written down, and stands on stderr.
"""

from __future__ import annotations

import asyncio
import gc
import os
import ssl
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson

from llm_magics.load import descriptors
from llm_magics.load.driver import Driver
from llm_magics.load.heartbeat import Heartbeat, percentile
from llm_magics.load.kept import Kept
from llm_magics.load.parent import Parent
from llm_magics.load.phase import Phase
from llm_magics.load.pool import Pool
from llm_magics.load.priority import urgent
from llm_magics.load.prompts import Recipe
from llm_magics.load.protocol import PROTOCOLS
from llm_magics.load.recorder import Recorder
from llm_magics.load.refusals import Refusals
from llm_magics.load.stock import Stock
from llm_magics.load.telling import Telling
from llm_magics.load.validity import validity

COMPLETE, CANCELLED, NOT_RECORDED, REFUSED = 0, 3, 4, 5
_WARMUP_STREAMS = 8
# Refusals alike, from the first request on, that end a run. Made prompts are of one kind; a file's rows differ.
_PATIENCE, _PATIENCE_WITH_ROWS = 8, 32
_BEATS = 25  # 4 Hz
_LEAD = 2_000_000  # ns between the end of preparing and the first request


class Session:
    """One plan, from the first connection to the end row."""

    def __init__(self, plan: dict[str, Any], heard: bytes = b"", priority: str = "normal") -> None:
        self.plan = plan
        self.loop = asyncio.get_running_loop()
        self.recorder = Recorder(plan["spool"], plan["origin"])
        patience = _PATIENCE_WITH_ROWS if plan["recipe"].get("rows") else _PATIENCE
        schema = plan["schema"]
        keeps = schema is not None or plan["recipe"]["turns"] > 1
        if schema is not None:
            self.recorder.valid = validity(schema)
        self.driver = Driver(
            self.loop, self.recorder, plan["timeout"], Kept if keeps else PROTOCOLS[plan["protocol"]].reply,
            refusals=Refusals(patience, self._give_up), drain=plan.get("drain"),
        )  # fmt: skip
        self.recipe = Recipe(plan["recipe"], plan["head"].encode("latin-1"), len(plan["steps"]))
        self.stock: Stock | None = None
        self.step: dict[str, Any] = {}
        self.number = 0
        self.priority = priority
        self.parent = Parent(heard, self._told, self.cancel)
        self.cancelled = False
        self.refused: str | None = None
        self.broken: OSError | None = None
        self.bug: Exception | None = None
        self.telling = Telling()
        self._filling: asyncio.Task[None] | None = None
        self.share: tuple[int, int] = tuple(plan.get("share", (0, 1)))
        self._start: asyncio.Future[int] | None = None
        self._task = asyncio.current_task()

    async def run(self) -> int:
        """Measure every step; the exit status."""
        self.loop.set_exception_handler(self._raised)
        self.parent.listen()
        tls = ssl.create_default_context() if self.plan["tls"] else None
        self.driver.in_flight.pool = Pool(self.plan["host"], self.plan["port"], tls, self.driver.in_flight)
        self.heart = Heartbeat(self.loop, self._beat)
        try:
            for number, step in enumerate(self.plan["steps"]):
                if not self.cancelled:
                    self.number, self.step = number, step
                    await self._step(step)
        except asyncio.CancelledError:
            if self.bug is None:
                raise
        except Exception as error:  # noqa: BLE001 - it is raised again when what was measured is written
            self.bug = self.bug or error
            self.cancel()
        finally:
            self.heart.stop()
            self.parent.close()
            self.driver.in_flight.pool.close()
        self._publish()
        if self.broken is None:
            bug = self.bug
            said = self.refused if bug is None else f"a bug of the load generator: {type(bug).__name__}: {bug}"
            status = "failed" if said else "cancelled" if self.cancelled else "complete"
            duration = self.recorder.seconds(time.monotonic_ns())
            try:
                self.recorder.drain()
                why = {"error": said} if said else {}
                self.recorder.row({"kind": "end", "status": status, "duration": duration, **why})
                self.recorder.close()
            except OSError as error:
                self.broken = error
        if self.bug is not None:
            raise self.bug
        if self.broken is not None:
            sys.stderr.write(f"{self.broken}\n")
            return NOT_RECORDED
        if self.refused:
            return REFUSED
        return CANCELLED if self.cancelled else COMPLETE

    async def _step(self, step: dict[str, Any]) -> None:
        driver, warmup = self.driver, int(step["warmup"])
        closed = "streams" in step
        count: int | None = step["requests"]
        at_once = min(step["streams"], count or step["streams"]) if closed else step["connections"]
        total = None if count is None else count + warmup
        self.stock = stock = Stock(self.recipe, self.number, total, self.share)
        stock.fill(0.05 if closed else 1.0)
        if driver.in_flight.pool is None or self._stopping():
            return
        if warmup:
            await self._connect(min(warmup, at_once))
        gc.enable()
        gc.collect()
        gc.freeze()
        gc.disable()
        if warmup and not self._stopping():
            start = time.monotonic_ns() + _LEAD
            streams = min(warmup, step.get("streams", _WARMUP_STREAMS))
            await driver.play(Phase.before(step, start, streams), stock)
            self.recorder.drain()
        await self._connect(at_once)
        if self._stopping():
            return
        start = await self._together()
        if self._stopping():
            return
        recorder = self.recorder
        recorder.chunks = recorder.content_reads = 0
        del driver.send_lag[:], self.heart.lateness[:]
        busy = time.process_time()
        phase = Phase.of(step, start)
        await driver.play(phase, stock)
        end = time.monotonic_ns()
        core = (time.process_time() - busy) / max((end - start) / 1e9, 1e-9)
        recorder.drain()
        audit = {
            "core": core,
            "loop_lag_p99": percentile(self.heart.lateness, 0.99),
            "send_lag_p99": percentile(driver.send_lag, 0.99),
            "chunks_per_read": recorder.chunks / recorder.content_reads if recorder.content_reads else 0.0,
            "held": driver.in_flight.held.mean, "workers": 1, "priority": self.priority,
        }  # fmt: skip
        for point, since, to in phase.windows(end):
            where = {"point": point, "repeat": phase.repeat}
            recorder.row({"kind": "window", **where, "start": recorder.seconds(since), "end": recorder.seconds(to)})
            recorder.row({"kind": "audit", **where, **audit})
        self._flush()

    async def _together(self) -> int:
        """The moment (ns) at which the step begins, on all workers alike."""
        if self.share[1] == 1:
            return time.monotonic_ns() + _LEAD
        self._start = self.loop.create_future()
        self.parent.tell({"ready": self.number})  # and at each beat again, for a line may be dropped
        return await self._start

    async def _connect(self, wanted: int) -> None:
        """Have so many connections open; cut short by `cancel`."""
        if self.driver.in_flight.pool is not None and not self._stopping():
            self._filling = self.loop.create_task(self.driver.in_flight.pool.fill(wanted))
            with suppress(asyncio.CancelledError):
                await self._filling

    def _stopping(self) -> bool:
        return self.cancelled

    def cancel(self) -> None:
        """Stop the load at once; what is in flight is recorded as cancelled."""
        if not self.cancelled:
            self.cancelled = True
            self.driver.stop()
            if self._filling is not None:
                self._filling.cancel()
            if self._start is not None and not self._start.done():
                self._start.set_result(0)

    def _give_up(self, why: str) -> None:
        """A run of which every request is refused is not worth its hours: it ends, with the server's words."""
        self.refused = why
        self.loop.call_soon(self.cancel)  # not from within the settling of the request that decided it

    def _raised(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A callback has raised. Nobody else hears of it: the request it was about would only time out."""
        error = context.get("exception")
        of_the_network = isinstance(error, OSError) and ("transport" in context or "protocol" in context)
        if not isinstance(error, Exception) or of_the_network:  # a connection that breaks tells so itself
            loop.default_exception_handler(context)
        elif self.bug is None:
            self.bug = error
            loop.call_soon(self.cancel)  # what came in one batch with it is read before
        elif self.cancelled and self._task is not None:  # even ending fails
            self._task.cancel()

    def _told(self, line: dict[str, Any]) -> None:
        """The parent has said something: that all begin at a moment, or what it has seen of the server."""
        if "go" not in line:
            self.recorder.row({"kind": "server", "t": self.recorder.seconds(line["at"]), "values": line["values"]})
        elif self._start is not None and not self._start.done():
            self._start.set_result(line["go"])

    def _beat(self, count: int) -> None:
        self.recorder.drain(0.0005)
        if self.stock is not None:
            self.stock.fill(0.0003)
        if count % _BEATS == 0:
            self.driver.in_flight.expire()
            self.driver.give_up_waiting()
            self._flush()
            self._publish()
            if self._start is not None and not self._start.done():
                self.parent.tell({"ready": self.number})
            if self.parent.gone:
                self.cancel()

    def _flush(self) -> None:
        try:
            self.recorder.flush()
        except OSError as error:
            self.broken = self.broken or error
            self.cancel()

    def _publish(self) -> None:
        """One line of progress."""
        if self.step:
            self.parent.tell(self.telling.line(self.number, self.driver, self.recorder))


def main() -> int:
    """Read the plan, raise what limits us, run."""
    line = bytearray()
    while not line.endswith(b"\n"):  # unbuffered: what follows the plan is read by the loop
        piece = os.read(0, 1 << 20)
        if not piece:
            return CANCELLED
        line += piece
    plan, _, rest = bytes(line).partition(b"\n")
    descriptors.raise_limit()
    priority = urgent()

    async def session() -> int:
        return await Session(orjson.loads(plan), rest, priority).run()

    run: Callable[..., Any] = asyncio.run
    with suppress(ImportError):
        import uvloop

        run = uvloop.run
    return int(run(session()))


if __name__ == "__main__":
    sys.exit(main())
