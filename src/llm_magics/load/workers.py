"""The worker processes of a run, seen from the process that wants it: start, start together, follow, end.

They append to one spool, whose rows may come in any order; a step begins on all of them at one moment of the machine's
monotonic clock. When one ends before its time the others are ended too: half a load is another load.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from llm_magics import replaced
from llm_magics.cluster import entry, python
from llm_magics.errors import LoadError
from llm_magics.load.progress import together
from llm_magics.load.sharing import share

_GRACE = 10.0  # s for cancelled workers to write what they have
_FAR_GRACE = 25.0  # s for that, where what they have comes from other machines
_PATIENCE = 2.0  # s for a line that is being said to be taken
_LOOK = 0.1  # s between two looks at `cancel`
_LEAD = 5_000_000  # ns between the word to start and the start
_COMMAND = [sys.executable, "-m", "llm_magics.load.worker"]
_COMPLETE, _CANCELLED, _NOT_RECORDED, _REFUSED, _LOST = 0, 3, 4, 5, 6


class _Worker:
    """One process."""

    def __init__(self, plan: dict[str, Any], record: int, command: list[str]) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(record,),
            start_new_session=True,  # an interrupt from the terminal reaches the caller alone, who decides
        )
        self.progress: dict[str, Any] | None = None
        self.killed = False  # by us
        self.pending = b""
        self.errors: list[bytes] = []
        self._talking = threading.Lock()
        self._listener = threading.Thread(target=self._collect_errors, daemon=True)
        self._listener.start()
        self.say(plan)

    def say(self, document: dict[str, Any]) -> None:
        """One line on the worker's stdin."""
        with self._talking, suppress(OSError, ValueError):
            if self.process.stdin is not None:
                self.process.stdin.write(json.dumps(document, allow_nan=False).encode() + b"\n")
                self.process.stdin.flush()

    def hush(self) -> None:
        """End of stdin: the worker stops its load, writes what it has and goes.

        One that has not read for so long that somebody hangs in `say` would not see it: it is killed.
        """
        if not self._talking.acquire(timeout=_PATIENCE):
            self.kill()  # who hangs in `say` is let go by that
            return
        try:
            if self.process.stdin is not None:
                with suppress(OSError):
                    self.process.stdin.close()
        finally:
            self._talking.release()

    def kill(self) -> None:
        """End it by force; what it had not written is lost."""
        self.killed = self.killed or self.process.poll() is None
        self.process.kill()

    def lines(self) -> list[dict[str, Any]] | None:
        """What it said since the last look; None when it has nothing more to say."""
        data = os.read(self.process.stdout.fileno(), 65_536) if self.process.stdout is not None else b""
        *lines, self.pending = (self.pending + data).split(b"\n")
        return [json.loads(line) for line in lines] if data else None

    def last_words(self) -> str:
        """What it wrote to stderr, once it has ended; its last lines where they are many."""
        self._listener.join(_PATIENCE)  # a child of it may hold stderr open: not for ever
        return b"".join(self.errors).decode("utf-8", "replace").strip()

    def _collect_errors(self) -> None:
        if self.process.stderr is not None:
            with self.process.stderr as stderr:
                for line in stderr:
                    self.errors = [*self.errors[-50:], line]


class Workers:
    """All processes of a run. `plan` is that of the whole run; `count` of them share its steps.

    With `far` (`on`, `workers`, and `most` that have something to do) there is one, which has workers of its own on the
    nodes of a cluster (`load.relay`).
    """

    def __init__(self, plan: dict[str, Any], count: int, record: int, far: dict[str, Any] | None = None) -> None:
        command = _COMMAND if far is None else python.command("llm_magics.load.relay")
        plan = plan if far is None else {**plan, "far": far}
        self.grace = _GRACE if far is None else _FAR_GRACE
        self.all = [
            _Worker(
                {
                    **plan,
                    "steps": [share(step, number, count) for step in plan["steps"]],
                    "share": [number, count],
                    "spool": record,
                },
                record,
                command,
            )
            for number in range(count)
        ]
        self.cancelled = False
        self._waiting: dict[int, set[int]] = {}  # step -> workers that are ready for it, by process

    def follow(self, on_progress: Callable[[dict[str, Any]], None] | None, cancel: threading.Event | None) -> str:
        """Wait for the end, passing on progress; `complete`, `cancelled` or `failed` (refused by the server).

        KeyboardInterrupt and `cancel` end the load; what was measured is kept.

        Raises
        ------
        LoadError
            A worker ended unexpectedly, or could not write.
        """
        try:
            self._watch(on_progress, cancel)
        except KeyboardInterrupt:
            self.cancelled = True
        finally:
            self.end()
        return self._verdict()

    @property
    def cut_short(self) -> bool:
        """Whether a worker had to be killed, and so may have left its last line and its end unwritten."""
        return any(worker.killed for worker in self.all)

    def sample(self, values: dict[str, float]) -> None:
        """The server's own metrics at this moment, to be recorded by the first of those whose share goes on."""
        going = next((worker for worker in self.all if worker.process.poll() is None), None)
        if going is not None:
            going.say({"at": time.monotonic_ns(), "values": values})

    def end(self) -> None:
        """Let all of them stop and write what they have. A second interrupt kills them."""
        until = time.monotonic() + self.grace
        for worker in self.all:
            try:
                worker.hush()
            except KeyboardInterrupt:
                until, self.cancelled = 0.0, True
        for worker in self.all:
            try:
                worker.process.wait(max(0.0, until - time.monotonic()))
            except (subprocess.TimeoutExpired, KeyboardInterrupt) as error:
                until, self.cancelled = 0.0, self.cancelled or isinstance(error, KeyboardInterrupt)
                worker.kill()
                worker.process.wait()
            if worker.process.stdout is not None:
                worker.process.stdout.close()

    def _watch(self, on_progress: Callable[[dict[str, Any]], None] | None, cancel: threading.Event | None) -> None:
        with selectors.DefaultSelector() as selector:
            for worker in self.all:
                if worker.process.stdout is not None:
                    os.set_blocking(worker.process.stdout.fileno(), False)
                    selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
            while selector.get_map():
                if cancel is not None and cancel.is_set():
                    self.cancelled = True
                    return
                fresh = False
                for key, _ in selector.select(_LOOK):
                    lines = key.data.lines()
                    if lines is None:
                        selector.unregister(key.fileobj)
                        if key.data.process.wait() != _COMPLETE:
                            return
                        continue
                    for line in lines:
                        if "ready" in line:
                            self._ready(line["ready"], key.data.process.pid)
                        else:
                            key.data.progress, fresh = line, True
                known = [worker.progress for worker in self.all if worker.progress is not None]
                if fresh and on_progress is not None and len(known) == len(self.all):
                    on_progress(together(known))

    def _ready(self, step: int, process: int) -> None:
        """A worker stands at the start of a step, and may say so again; when all do, they are told the moment, once."""
        ready = self._waiting.setdefault(step, set())
        if process in ready:
            return
        ready.add(process)
        if len(ready) == len(self.all):
            at = time.monotonic_ns() + _LEAD
            for worker in self.all:
                worker.say({"go": at})

    def _verdict(self) -> str:
        codes = {self._code(worker): worker for worker in self.all}
        for code, worker in codes.items():
            said = worker.last_words()
            if code == _NOT_RECORDED:
                raise LoadError(
                    "The measurements could not be written.", why=said, then="free some space; what was written is kept"
                )
            if code == entry.WORDS:
                raise python.failure(said)
            if code not in (_COMPLETE, _CANCELLED, _REFUSED, _LOST):
                if code > 0 and (changed := replaced.since_loaded()):
                    words = "\n".join([changed, *said.splitlines()[-1:]])
                    raise LoadError(f"Nothing was measured: {replaced.CAUSE}.", why=words, then=replaced.REMEDY)
                raise LoadError(
                    f"The load generator ended unexpectedly (exit {code}).",
                    why="\n".join(said.splitlines()[-8:]),
                    then="run it again; what was measured until then is kept",
                )
        return "failed" if _REFUSED in codes or _LOST in codes else "cancelled" if _CANCELLED in codes else "complete"

    def _code(self, worker: _Worker) -> int:
        """How it ended; one that was cancelled and had to be killed for it (a second interrupt) was cancelled."""
        return _CANCELLED if worker.killed and self.cancelled else worker.process.returncode
