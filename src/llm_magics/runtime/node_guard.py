"""On a node of a cluster: the parent of the engine there, as the supervisor is here.

It is told what to run in the first line on stdin. What the engine says goes to stdout, what happens to it to stderr,
one JSON line each: `listens`, `taken` (the port), `failed`, `status`. When stdin closes, the engine is ended in order:
somebody asked for that, or the actor, the driver or the whole cluster is gone. Nothing of the engine outlives it.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import sys
import time
from typing import Any

from llm_magics.runtime import ports, processes, scratch
from llm_magics.runtime.engine_process import EngineProcess, become_subreaper
from llm_magics.runtime.environment import allowed
from llm_magics.runtime.identity import current
from llm_magics.runtime.plan import Attempt
from llm_magics.runtime.record import Record

_READ = 256 * 1024
_TICK = 0.1  # s
_LOOK = 1.0, 60.0  # s between two looks at shared memory: in the first minute, later


class Guard:
    """One engine's life on a node."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.identifier = str(plan["env"].get(processes.MARK, ""))
        base = {key: value for key, value in allowed(os.environ).items() if key not in plan["forget"]}
        env = {**base, **plan["env"]}
        env |= scratch.variables(self.identifier, env) if self.identifier else {}
        self.attempt = Attempt(plan["argv"], env, plan["host"], plan["port"], "", "")
        self.shared: set[str] = set()
        self.born, self.wall, self.next_look = time.monotonic(), time.time(), 0.0
        self.asked = self.listens = self.met = False

    def run(self) -> int:
        """Start the engine and stay until nothing of it is left; 0 when it was started at all."""
        if not ports.is_free(self.attempt.host, self.attempt.port):
            _tell(taken=self.attempt.port)
            return 1
        scratch.make(self.attempt.env.get("TMPDIR"))
        try:
            process = EngineProcess(self.attempt, os.path.expanduser("~"))  # noqa: PTH111 - "~" where there is none
        except OSError as error:
            _tell(failed=f"{self.attempt.argv[0]}: {error.strerror}")
            self._clear()
            return 1
        try:
            self._attend(process)
        finally:
            process.kill()
            self._drain(process)
            self._clear()
        _tell(status=process.exit if process.exit is not None else 1)
        self._outlast()
        return 0

    def _attend(self, process: EngineProcess) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(0, selectors.EVENT_READ)
            selector.register(process.output, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select(_TICK):
                    if not self._take(key.fd, process):
                        selector.unregister(key.fd)
                process.reap()
                if process.exit is not None:
                    if not process.tree() or process.straggling() or process.overdue(self.plan["grace"]):
                        return
                elif self.asked:
                    self._meet(process)
                    process.terminate()
                    if process.overdue(self.plan["grace"]):
                        process.kill()
                self._look(process)

    def _take(self, descriptor: int, process: EngineProcess) -> bool:
        """Pass on what there is to read; False at its end."""
        try:
            data = os.read(descriptor, _READ)
        except BlockingIOError:
            return True
        if descriptor == 0:
            self.asked = self.asked or not data
        elif data:
            _write(data)
        return bool(data)

    def _look(self, process: EngineProcess) -> None:
        """Whether it listens by now, and the shared memory it uses."""
        now = time.monotonic()
        if now < self.next_look:
            return
        tree = process.tree()
        self.next_look = now + (_TICK if not self.listens else _LOOK[now - self.born > 60.0])
        if not self.listens:
            pids = [each.pid for each in tree]
            self.listens = ports.held_by(self.attempt.port, pids) is True
            if self.listens:
                self._meet(process)
                _tell(listens=self.attempt.port)
        self.shared |= scratch.shared_by(tree)

    def _meet(self, process: EngineProcess) -> None:
        """Learn what Ray's workers share, while they live: the engine's memory shows which they are."""
        if self.plan["patience"] and process.exit is None and not self.met:
            self.met = self.asked
            self.shared |= scratch.shared_by(process.tree())
            self.shared = scratch.shared_beside(self.shared)

    def _drain(self, process: EngineProcess) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(process.output, _READ):
                _write(data)

    def _outlast(self) -> None:
        """Clear again when those who are not the engine's children have ended, in a process that nobody waits for."""
        if not self.plan["patience"] or os.fork():
            return
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        try:
            self._clear(self.plan["patience"])
        finally:
            os._exit(0)

    def _clear(self, patience: float = 0.0) -> None:
        own = self.attempt.env.get("TMPDIR")
        scratch.clear(
            Record(
                name="guarded", engine="", model="", state="stopped", created=self.wall, host="", reuse_key="", spec={},
                supervisor=current().to_json(), id=self.identifier, shared=sorted(self.shared),
                scratch=[os.path.dirname(own)] if own else [],  # noqa: PTH120
            ),
            patience,
        )  # fmt: skip


def _write(data: bytes) -> None:
    left = memoryview(data)
    with contextlib.suppress(BrokenPipeError):  # nobody reads any more: the end of stdin says the rest
        while left:
            left = left[os.write(1, left) :]


def _tell(**event: object) -> None:
    with contextlib.suppress(OSError):
        os.write(2, json.dumps(event).encode() + b"\n")


def main() -> int:
    """Read the plan, carry it out."""
    line = bytearray()
    while not line.endswith(b"\n"):  # one byte at a time would do; what follows the plan is only its end
        piece = os.read(0, 1 << 16)
        if not piece:
            return 1
        line += piece
    become_subreaper()
    return Guard(json.loads(line)).run()


if __name__ == "__main__":
    sys.exit(main())
