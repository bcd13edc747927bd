"""The supervisor: one small process per server, the parent of the engine.

It outlives the notebook's kernel and does what a kernel cannot: it writes the log, sees when the engine is ready,
publishes state, ends the server when its time is over, and leaves nothing behind, whatever the engine started. It is
single-threaded: one loop over the engine's output, the readiness probe, signals and a clock.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import selectors
import signal
import socket
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from llm_magics.engines.base import Engine
from llm_magics.runtime import lifetime, ports
from llm_magics.runtime.activity import Activity
from llm_magics.runtime.engine_process import EngineProcess, become_subreaper
from llm_magics.runtime.environment import secrets_in
from llm_magics.runtime.identity import current
from llm_magics.runtime.log_writer import LogWriter
from llm_magics.runtime.plan import Attempt, Plan
from llm_magics.runtime.probe import Probe
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.runtime.start_times import StartTimes

_TICK = 1.0  # s between two looks at owners and clock once the engine is ready
_BUSY_TICK = 0.02  # s, while something is expected any moment
_PUBLISH = 0.2  # s between two writes of a stage
_CENSUS = 1.0, 10.0  # s between two counts of the tree: while loading, when ready
_LAST_WORD = 4.0  # s that the final record is tried to be written when the disk is full


class Supervisor:
    """The life of one server."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.registry = Registry(Path(plan.directory))
        self.record = Record.from_json(plan.record)
        self.engine = _adapter(plan)
        self.log = LogWriter(
            self.registry.log_path(self.record.name),
            [*([plan.key] if plan.key else []), *secrets_in(plan.attempts[0].env)],
        )
        self.attempts = list(plan.attempts)
        self.attempt: Attempt = self.attempts[0]
        self.process: EngineProcess | None = None
        self.probe: Probe | None = None
        self.lifetime = lifetime.Lifetime()
        self.activity: Activity | None = None
        self.selector = selectors.DefaultSelector()
        self.changes: dict[str, Any] = {}
        self.asked = False
        self.port_is_ours = False
        self.ended = False
        self.born = time.monotonic()
        self.next_probe = self.next_publish = self.next_census = self.next_activity = self.next_judgement = 0.0

    # The loop ---------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Start the engine and stay until nothing of it is left."""
        self._listen_to_signals()
        try:
            self._start()
            while not self.ended:
                for key, _ in self.selector.select(self._pause()):
                    key.data()
                self._tick()
        finally:
            if self.process is not None:
                self.process.kill()
        self._last_word()

    def _pause(self) -> float:
        if self.record.state == "ready":
            return _TICK
        if self.record.state == "stopping" or (self.process and self.process.exit is not None):
            return _BUSY_TICK
        return max(0.0, min(self.next_probe - time.monotonic(), _TICK))

    def _tick(self) -> None:
        assert self.process is not None  # noqa: S101 - `_start` came first
        self.process.reap()
        if self.asked and self.record.state != "stopping":
            self._stop(lifetime.ASKED)
        if self.process.exit is not None:
            self._clear_up()
        elif self.record.state == "stopping":
            self.process.terminate()
            if self.process.overdue(self.engine.grace):
                self.process.kill()
        elif self.record.state == "ready":
            self._watch()
        else:
            self._await_ready()
        self._census()
        self._publish()

    def _listen_to_signals(self) -> None:
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        self._wakers = reader, writer

        def drain() -> None:
            with contextlib.suppress(BlockingIOError):
                reader.recv(4096)

        def stop(*_: object) -> None:
            self.asked = True

        self.selector.register(reader, selectors.EVENT_READ, drain)
        signal.signal(signal.SIGTERM, stop)
        # Handlers, not SIG_IGN: what is ignored would stay ignored in the engine.
        for signum in (signal.SIGCHLD, signal.SIGINT, signal.SIGHUP):
            signal.signal(signum, lambda *_: None)

    # Starting ---------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self.attempt = self.attempts.pop(0)
        changes: dict[str, Any] = {"url": self.attempt.url, "command": self.attempt.command, "stage": ""}
        try:
            self.process = EngineProcess(self.attempt, self.plan.cwd)
        except OSError as error:
            self.log.say(f"cannot start {self.attempt.argv[0]}: {error.strerror}")
            remedy = "see that the engine is installed: `%llm doctor`"
            diagnosis = {"cause": "the engine could not be executed", "line": str(error), "remedy": remedy}
            self._end(state="failed", diagnosis=diagnosis, **changes)
            return
        self.selector.register(self.process.output, selectors.EVENT_READ, self._drain)
        self.probe = Probe(self.attempt.host, self.attempt.port, self.engine.ready_path, self.plan.key)
        self.next_probe, self.port_is_ours = 0.0, False
        identity = self.process.identity
        self._change(state="loading", process=identity and identity.to_json(), **changes)

    def _await_ready(self) -> None:
        now = time.monotonic()
        if now - self.born > self.plan.timeout:
            self._stop(lifetime.TIMED_OUT)
            return
        if now >= self.next_judgement:
            self._judge(now)
        if now >= self.next_probe:
            # Often at first, for engines that are ready in a moment; an engine that takes minutes is not hurried.
            self.next_probe = now + min(0.5, max(0.02, (now - self.born) / 50))
            self._probe()

    def _probe(self) -> None:
        assert self.probe is not None  # noqa: S101
        assert self.process is not None  # noqa: S101
        if self.probe.busy:
            self._hear()
        if self.record.state == "ready" or self.probe.busy or not self.probe.connect():
            return
        if not self.port_is_ours:
            pids = (process.pid for process in self.process.tree())
            self.port_is_ours = ports.held_by(self.attempt.port, pids) is not False
        if not self.port_is_ours:
            self.probe.close()  # somebody else answers there: the key is not for them
            return
        self.probe.ask()
        if self.probe.socket is not None:
            self.selector.register(self.probe.socket, selectors.EVENT_READ, self._hear)

    def _hear(self) -> None:
        assert self.probe is not None  # noqa: S101
        status = self.probe.status()
        if status is None:
            return
        self._hang_up()
        if status == 200 and self.record.state == "loading":
            self._ready()

    def _hang_up(self) -> None:
        if self.probe is not None and self.probe.socket is not None:
            with contextlib.suppress(KeyError, ValueError):
                self.selector.unregister(self.probe.socket)
            self.probe.close()

    def _ready(self) -> None:
        now = time.monotonic()
        assert self.process is not None  # noqa: S101
        self._change(state="ready", stage="", ready_at=time.time())
        self._publish(force=True)
        self.lifetime.active(now)
        self.activity = Activity(self.engine, self.attempt.host, self.attempt.port, self.plan.key, self.process.tree)
        with contextlib.suppress(OSError):
            StartTimes(self.registry.directory).remember(self.record.reuse_key, time.time() - self.record.created)

    def _drain(self) -> None:
        """Take what the engine said: to the log, and for the stage it announces."""
        assert self.process is not None  # noqa: S101
        try:
            output = os.read(self.process.output, 256 * 1024)
        except BlockingIOError:
            return
        if not output:
            self.selector.unregister(self.process.output)
            return
        for line in self.log.feed(output):
            if self.record.state == "loading" and (stage := self.engine.stage(line)):
                self._change(stage=stage)

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
        self.next_judgement = now + (_TICK / 2)
        latest = self.registry.read(self.record.name)
        if latest is not None and latest.id != self.record.id:
            self._stop(lifetime.REPLACED)
            return
        if latest is not None:
            self.record = replace(self.record, owners=latest.owners, keep=latest.keep, idle=latest.idle)
        elif not self.registry.exists(self.record.name):
            self._stop(lifetime.REPLACED)
            return
        verdict = self.lifetime.judge(self.record, now)
        if verdict.stop:
            self._stop(verdict.why)
        elif verdict.why != self.record.stops_why:
            at = None if verdict.stops_in is None else time.time() + verdict.stops_in
            self._change(stops_at=at, stops_why=verdict.why)

    # Ending -----------------------------------------------------------------------------------------------------------

    def _stop(self, why: str) -> None:
        self._hang_up()
        self._change(state="stopping", stage="", stops_at=None, stops_why=why)
        self._publish(force=True)
        if self.process is not None:
            self.process.terminate()

    def _clear_up(self) -> None:
        """The engine's own process has ended: see that nothing else stays, then say how it ended."""
        assert self.process is not None  # noqa: S101
        left = self.process.tree()
        if left and not self.process.straggling() and not self.process.overdue(self.engine.grace):
            return
        stuck = self.process.kill() if left else []
        self._hang_up()
        self._drain_rest()
        if stuck:
            self.log.say(f"these processes could not be ended: {', '.join(str(process.pid) for process in stuck)}")
        exit_status = self.process.exit
        if self.record.state == "stopping":
            if self.record.stops_why == lifetime.TIMED_OUT:
                found = self.engine.diagnose(list(self.log.tail))
                self._end(state="failed", exit=exit_status, diagnosis=found and asdict(found))
            else:
                self._end(state="stopped", exit=exit_status)
        elif self.record.state == "loading" and self._lost_the_port() and self.attempts:
            self.log.say(f"port {self.attempt.port} was taken in between; trying {self.attempts[0].port}")
            self.process.close()
            self._start()
        elif self.record.state == "ready" and exit_status == 0:
            self._end(state="stopped", exit=0, stops_why="the engine ended by itself")
        else:
            self._end(state="failed", exit=exit_status, diagnosis=self._diagnosis(exit_status))

    def _drain_rest(self) -> None:
        """Everything that wrote to the pipe is gone, so what is in it now is all there will be."""
        assert self.process is not None  # noqa: S101
        with contextlib.suppress(OSError):
            while output := os.read(self.process.output, 256 * 1024):
                self.log.feed(output)
        with contextlib.suppress(KeyError, ValueError):
            self.selector.unregister(self.process.output)

    def _lost_the_port(self) -> bool:
        return not ports.is_free(self.attempt.host, self.attempt.port)

    def _diagnosis(self, exit_status: int | None) -> dict[str, str] | None:
        found = self.engine.diagnose(list(self.log.tail))
        if found is not None:
            return asdict(found)
        if exit_status is None or exit_status >= 0:
            return None
        name = signal.Signals(-exit_status).name
        remedy = "see its log"
        if exit_status == -signal.SIGKILL:
            remedy = "unless somebody killed it, the machine ran out of memory: take a smaller model or max_model_len"
        elif exit_status == -signal.SIGILL:
            remedy = "this build of the engine needs a newer CPU: install another build"
        return {"cause": f"the engine was ended by {name}", "line": "", "remedy": remedy}

    def _end(self, **changes: Any) -> None:
        # Log and key first: whoever reads that it ended may start the next server of this name at once.
        self.log.close()
        with contextlib.suppress(OSError):
            self.registry.write_key(self.record.name, None)
        self._change(**{"stage": "", "stops_at": None, "ended_at": time.time(), **changes})
        self.ended = True

    def _last_word(self) -> None:
        deadline = time.monotonic() + _LAST_WORD
        while self.changes and time.monotonic() < deadline:
            self._publish(force=True)
            if self.changes:
                time.sleep(0.2)

    # The record -------------------------------------------------------------------------------------------------------

    def _census(self) -> None:
        """Put the tree's identities into the record: who comes after a killed supervisor has to find them."""
        now = time.monotonic()
        if now < self.next_census or self.process is None or self.process.identity is None or self.ended:
            return
        self.next_census = now + _CENSUS[self.record.state == "ready"]
        tree = [process.to_json() for process in self.process.tree()]
        if tree and tree != (self.record.process or {}).get("tree"):
            self._change(process={**self.process.identity.to_json(), "tree": tree})

    def _change(self, **changes: Any) -> None:
        if changes.get("state", self.record.state) != self.record.state:
            self.next_publish = 0.0
        self.record = replace(self.record, **changes)
        self.changes |= changes

    def _publish(self, *, force: bool = False) -> None:
        """Write what changed; when the disk is full, keep it for the next time."""
        now = time.monotonic()
        if not self.changes or (now < self.next_publish and not force and not self.ended):
            return
        self.next_publish = now + _PUBLISH
        name = self.record.name
        with contextlib.suppress(OSError), self.registry.lock(name):
            latest = self.registry.read(name)
            if latest is not None and latest.id != self.record.id:
                self.changes.clear()  # the name is another server's now
                return
            if latest is None and not self.registry.exists(name):
                self.changes.clear()  # dismissed: it must not come back
                return
            # What others wrote stays (owners, lifetime); a record that was damaged is made whole.
            self.record = replace(latest or self.record, **self.changes)
            self.registry.write(self.record)
            self.changes.clear()


def _adapter(plan: Plan) -> Engine:
    sys.path += [entry for entry in plan.path if entry and entry not in sys.path]
    module, _, attribute = plan.reference.partition(":")
    engine = getattr(importlib.import_module(module), attribute)
    return engine() if isinstance(engine, type) else engine  # type: ignore[no-any-return]


def main() -> None:
    """Read the plan from stdin and carry it out."""
    plan = Plan.load(sys.stdin.buffer)
    if plan is None:
        return  # the launch died before it had said everything: there is nothing to supervise
    become_subreaper()
    record = {**plan.record, "supervisor": current().to_json()}
    Supervisor(replace(plan, record=record)).run()


if __name__ == "__main__":
    main()
