"""The supervisor: one small process per server, the parent of the engine.

It outlives the notebook's kernel and does what a kernel cannot: it writes the log, sees when the engine is ready,
publishes state, ends the server when its time is over, and leaves nothing behind, whatever the engine started. It is
single-threaded: one loop over the engine's output, the readiness probe, signals and a clock.
"""

from __future__ import annotations

import contextlib
import importlib
import selectors
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from llm_magics.engines.base import Engine
from llm_magics.runtime import containers, lifetime, scratch
from llm_magics.runtime.activity import Activity
from llm_magics.runtime.census import Census
from llm_magics.runtime.engine_process import become_subreaper
from llm_magics.runtime.environment import secrets_in
from llm_magics.runtime.identity import current
from llm_magics.runtime.log_writer import LogWriter
from llm_magics.runtime.logs import secrets_of
from llm_magics.runtime.plan import Attempt, Plan
from llm_magics.runtime.published import Published
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.runtime.running_engine import RunningEngine
from llm_magics.runtime.signals import Signals
from llm_magics.runtime.start_times import StartTimes
from llm_magics.runtime.why_ended import why_ended

_TICK = 1.0  # s between two looks at owners and clock once the engine is ready
_BUSY_TICK = 0.02  # s, while something is expected any moment
_LAST_WORD = 4.0  # s that the final record is tried to be written when the disk is full


class Supervisor:
    """The life of one server."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.registry = Registry(Path(plan.directory))
        self.published = Published(self.registry, Record.from_json(plan.record))
        self.census = Census(self.published)
        self.adapter = _adapter(plan)
        first = plan.attempts[0]
        secrets = [*([plan.key] if plan.key else []), *secrets_in(first.env), *secrets_of(first.argv)]
        self.log = LogWriter(self.registry.log_path(self.record.name), secrets)
        self.attempts = list(plan.attempts)
        self.attempt: Attempt = self.attempts[0]
        self.engine: RunningEngine | None = None
        self.lifetime = lifetime.Lifetime()
        self.activity: Activity | None = None
        self.selector = selectors.DefaultSelector()
        self.ended = False
        self.born = time.monotonic()
        self.next_activity = self.next_judgement = 0.0

    @property
    def record(self) -> Record:
        """The server's record as it is now."""
        return self.published.record

    # The loop ---------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Start the engine and stay until nothing of it is left."""
        self.signals = Signals(self.selector)
        try:
            self._start()
            while not self.ended:
                for key, _ in self.selector.select(self._pause()):
                    key.data()
                self._tick()
        finally:
            if self.engine is not None:
                self.engine.process.kill()
                self._remove_container()
            if not self.ended:  # by an error of ours
                scratch.clear(self.record)
        self._last_word()

    def _pause(self) -> float:
        if self.record.state == "ready":
            return _TICK
        if self.record.state == "stopping" or self.engine is None or self.engine.ended:
            return _BUSY_TICK
        return max(0.0, min(self.engine.readiness.next - time.monotonic(), _TICK))

    def _tick(self) -> None:
        assert self.engine is not None  # noqa: S101 - `_start` came first
        engine = self.engine
        engine.process.reap()
        if self.signals.asked and self.record.state != "stopping":
            self._stop(lifetime.ASKED)
        if engine.ended:
            self._clear_up(engine)
        elif self.record.state == "stopping":
            engine.insist()
        elif self.record.state == "ready":
            self._watch()
        else:
            self._await_ready(engine)
        if not self.ended:
            self.census.take(self.engine.process)  # another one, where its port was taken
        self.published.flush(force=self.ended)

    # Starting ---------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self.attempt = self.attempts.pop(0)
        self.published.change(
            url=self.attempt.url, command=self.attempt.command, stage="", container=self.attempt.container,
            node=self.attempt.node,
        )  # fmt: skip
        self.published.flush(force=True)  # a container must be known by name before it is there
        scratch.make(self.attempt.env.get("TMPDIR"))
        try:
            engine = RunningEngine(
                self.adapter, self.attempt, self.plan.cwd, self.plan.key,
                selector=self.selector, log=self.log, said=self._said,
            )  # fmt: skip
        except OSError as error:
            self.log.say(f"cannot start {self.attempt.argv[0]}: {error.strerror}")
            remedy = "see that the engine is installed: `%llm doctor`"
            diagnosis = {"cause": "the engine could not be executed", "line": str(error), "remedy": remedy}
            self._end(state="failed", diagnosis=diagnosis)
            return
        self.engine = engine
        identity = engine.process.identity
        self.published.change(state="loading", process=identity and identity.to_json())

    def _said(self, line: str) -> None:
        """A line of the engine's: it may announce a stage."""
        if self.record.state == "loading" and (stage := self.adapter.stage(line)):
            self.published.change(stage=stage)

    def _await_ready(self, engine: RunningEngine) -> None:
        now = time.monotonic()
        if now - self.born > self.plan.timeout:
            self.log.say(lifetime.TOLD)
            self._stop(lifetime.TIMED_OUT)
            return
        engine.readiness.look()
        if engine.readiness.ready:
            self._ready(engine, now)
        elif now >= self.next_judgement:
            self._judge(now)

    def _ready(self, engine: RunningEngine, now: float) -> None:
        self.census.note_shared(engine.tree())  # first: who sees it ready may kill it the next moment
        engine.hear()  # who is told that it is ready finds in the log what it said before
        self.published.change(state="ready", stage="", ready_at=time.time())
        self.published.flush()
        self.census.due()  # the workers are all there now
        self.lifetime.active(now)
        self.activity = Activity(self.adapter, self.attempt.host, self.attempt.port, self.plan.key, engine.tree)
        with contextlib.suppress(OSError):
            StartTimes(self.registry.directory).remember(self.record.reuse_key, time.time() - self.record.created)

    # Being ready ------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        now = time.monotonic()
        if self.record.idle is not None and self.activity is not None and now >= self.next_activity:
            self.next_activity = now + max(0.2, min(15.0, self.record.idle / 8))
            if self.activity.seen():
                self.lifetime.active(now)
        if now >= self.next_judgement:
            self._judge(now)

    def _judge(self, now: float) -> None:
        """Read what others changed (new owners, another lifetime), and see whether the server's time is over."""
        self.next_judgement = now + _TICK / 2
        if not self.published.refresh():
            self._stop(lifetime.REPLACED)
            return
        wall = time.time()
        verdict = self.lifetime.judge(self.record, now, wall)
        if verdict.stop:
            self._stop(verdict.why)
            return
        self.published.announce(None if verdict.stops_in is None else wall + verdict.stops_in, verdict.why)

    # Ending -----------------------------------------------------------------------------------------------------------

    def _stop(self, why: str) -> None:
        if self.engine is not None:
            self.engine.readiness.close()
            self.census.note_shared(self.engine.tree())
        seen = self.record.stage if why == lifetime.TIMED_OUT else ""  # how far it came is all that is known of why
        self.published.change(state="stopping", stage=seen, stops_at=None, stops_why=why)
        self.published.flush()
        if self.engine is not None:
            self.engine.process.terminate()

    def _clear_up(self, engine: RunningEngine) -> None:
        """The engine's own process has ended: see that nothing else stays, then say how it ended."""
        if engine.lingers():
            return
        process = engine.process
        stuck = process.kill()
        self._remove_container()
        engine.readiness.close()
        engine.drain_rest()
        if stuck:
            self.log.say(f"these processes could not be ended: {', '.join(str(each.pid) for each in stuck)}")
        state, log = self.record.state, list(self.log.tail)
        if state == "loading" and self.attempts and engine.port_was_taken():
            self.log.say(f"port {self.attempt.port} was taken in between; trying {self.attempts[0].port}")
            process.close()
            self._start()
        elif state == "stopping" and self.record.stops_why != lifetime.TIMED_OUT:
            self._end(state="stopped", exit=process.exit)
        elif state == "stopping":
            diagnosis = why_ended(self.adapter, lifetime.before_told(log), None)
            self._end(state="failed", exit=process.exit, diagnosis=diagnosis, stage=self.record.stage)
        elif state == "ready" and process.exit == 0:
            self._end(state="stopped", exit=0, stops_why="the engine ended by itself")
        else:
            diagnosis = why_ended(self.adapter, log, process.exit)
            self._end(state="failed", exit=process.exit, diagnosis=diagnosis, stops_why="")  # whatever was announced

    def _remove_container(self) -> None:
        """Its client is gone, which says nothing of the container."""
        if self.record.container is not None:
            containers.remove(self.record.container, self.attempt.env)
            self.published.change(container=None)

    def _end(self, **changes: Any) -> None:
        # Log and key first: whoever reads that it ended may start the next server of this name at once.
        self.log.close()
        scratch.clear(self.record)
        with contextlib.suppress(OSError):
            self.registry.forget_key(self.record)
        self.published.change(**{"stage": "", "stops_at": None, "ended_at": time.time(), **changes})
        self.ended = True

    def _last_word(self) -> None:
        deadline = time.monotonic() + _LAST_WORD
        while self.published.pending and time.monotonic() < deadline:
            self.published.flush(force=True)
            if self.published.pending:
                time.sleep(0.2)


def _adapter(plan: Plan) -> Engine:
    sys.path += [entry for entry in plan.path if entry and entry not in sys.path]
    module, _, attribute = plan.reference.partition(":")
    engine = getattr(importlib.import_module(module), attribute)
    return engine() if isinstance(engine, type) else engine  # type: ignore[no-any-return]


def main() -> None:
    """Read the plan from stdin and carry it out."""
    try:
        plan = Plan.load(sys.stdin.buffer)
    except ValueError as error:
        sys.exit(str(error))  # to the log, where who launched looks
    if plan is None:
        return  # the launch died before it had said everything: there is nothing to supervise
    become_subreaper()
    record = {**plan.record, "supervisor": current().to_json()}
    Supervisor(replace(plan, record=record)).run()


if __name__ == "__main__":
    main()
