"""Seeing changes while somebody looks, and only then: for the panel in JupyterLab, and for `list --watch`.

One thread for each thing that can hang by itself (records, engines, GPUs, the run store), waiting without cost while
nobody looks. What is told are messages of one kind each; one that says what was said before is not told again, and
nothing is kept but the last of each kind, for somebody who comes later.

A look that finds nothing new ends in the thread that took it: it makes no message, wakes nobody, and asks the disk one
question (`Watch`). While no engine runs, none is asked for its metrics. No look starts a process.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from llm_magics.runtime.record import Record
from llm_magics.runtime.several import Several
from llm_magics.runtime.shown import MOST, listed

Message = dict[str, Any]
_log = logging.getLogger(__name__)
_STATES = 0.4  # s between two looks at the records
_LOADS = 1.0, 4.0  # s between two looks at what engines do: while they work, while they do not
_GPUS = 2.0, 30.0  # s: where there are some, where there are none
_WORK = 1.0  # s between two looks at the run store
_HUNG = 5.0  # s without a look after which the directory counts as hung
_AGAIN = 4.0  # s after a look that failed
_LONG = 60.0  # s: what comes next begins before, by another's word
_AT_ONCE = 4  # engines that are asked for metrics at the same time


class Pulse(threading.Thread):
    """Calls `look` again and again while it is wanted; `look` says how many seconds to wait for the next time.

    `rest`, if there is one, is called in the same thread when it is wanted no more: what the looks kept open is closed.
    A look that fails in a way that nobody thought of is logged, and the next one comes: a thread that ended would leave
    whoever watches before a still picture, with no word of it.
    """

    def __init__(self, name: str, look: Callable[[], float], rest: Callable[[], None] | None = None) -> None:
        super().__init__(name=f"llm-magics {name}", daemon=True)
        self._look = look
        self._rest = rest
        self._wanted = threading.Event()
        self._soon = threading.Event()
        self.last = 0.0

    def wanted(self, wanted: bool) -> None:
        """Begin, or leave off; at once."""
        self.last = time.monotonic()
        if wanted:
            self._wanted.set()
        else:
            self._wanted.clear()
        self._soon.set()
        if wanted and self.ident is None:
            self.start()

    def soon(self) -> None:
        """Look at once, however long the pause was to be."""
        self._soon.set()

    def run(self) -> None:
        while True:
            if self._rest is not None and not self._wanted.is_set():
                self._rest()
            self._wanted.wait()
            self._soon.clear()
            try:
                pause = self._look()
            except Exception:  # noqa: BLE001 - it is logged
                _log.exception("%s: one look failed", self.name)
                pause = _AGAIN
            self.last = time.monotonic()
            self._soon.wait(pause)


class Looks:
    """Everything that is looked at.

    Parameters
    ----------
    say
        Called by several threads, one at a time, with a message that is news: `engines` (see `shown.listed`), `load`
        (by name, see `load_now`), `gpus`, `work` (a number that changes with the run store) or `trouble` (a line, ''
        when it is over). It must not wait.
    """

    def __init__(self, say: Callable[[Message], None]) -> None:
        self._last = Last(say)
        self._records: list[Record] = []
        self._states = Pulse("records", self._look_at_records())
        self._loads = Pulse("load", self._look_at_load())
        self._gpus = Pulse("gpus", *self._look_at_gpus())
        self._pulses = [self._states, self._loads, self._gpus, Pulse("work", self._look_at_work())]

    def wanted(self, wanted: bool) -> None:
        """Begin to look, or leave off."""
        self._last.keep(wanted)
        for pulse in self._pulses:
            pulse.wanted(wanted)

    def said(self) -> list[Message]:
        """The last message of each kind, for somebody who comes later."""
        return self._last.messages()

    def see_to_it(self) -> float:
        """Tell it when the records have not been seen for too long; s after which to ask again whether they were."""
        left = self._states.last + _HUNG - time.monotonic()
        if left > 0:
            return left
        self._last.tell("trouble", {"trouble": "The directory of engines does not answer; what is shown may be old."})
        return _HUNG

    # Each of these makes the function of one pulse; what it remembers between two looks is its own. -------------------

    def _look_at_records(self) -> Callable[[], float]:
        from llm_magics.runtime.registry import Registry
        from llm_magics.runtime.watching import Watch

        watch: Watch | None = None

        def look() -> float:
            nonlocal watch
            try:
                watch = watch or Watch(Registry(starts_nothing=True))
                records = watch.look()
            except OSError as error:
                reason = error.strerror or error
                self._last.tell("trouble", {"trouble": f"The directory of engines cannot be read: {reason}"})
                return 2 * _STATES
            if records != self._records or not self._last.has("engines"):
                before, self._records = self._records, records
                self._last.tell("engines", listed(records))
                if _states(records) != _states(before):
                    self._loads.soon()
                    self._gpus.soon()
            self._last.tell("trouble", {"trouble": ""})
            return _STATES

        return look

    def _look_at_load(self) -> Callable[[], float]:
        from llm_magics.runtime.load_now import load_now
        from llm_magics.runtime.registry import Registry

        several: Several[dict[str, Any]] = Several("metrics", _AT_ONCE)
        before: dict[str, tuple[Any, ...]] = {}

        def look() -> float:
            nonlocal before
            running = [record for record in self._records if record.alive][:MOST]
            if not running:
                before = {}
                self._last.tell("load", {"load": {}})
                return _LONG
            registry = Registry(starts_nothing=True)
            loads = several(((record.name, partial(load_now, record, registry)) for record in running), _HUNG)
            now = {name: _counted(load) for name, load in loads.items()}
            moving = now != before or any(load.get("running") or load.get("waiting") for load in loads.values())
            before = now
            self._last.tell("load", {"load": loads})
            return _LOADS[0] if moving else _LOADS[1]

        return look

    def _look_at_gpus(self) -> tuple[Callable[[], float], Callable[[], None]]:
        from llm_magics.runtime.gpu_watch import GpuWatch

        watch = GpuWatch()

        def look() -> float:
            found = [_steady(asdict(gpu)) for gpu in watch.look(self._records)]
            self._last.tell("gpus", {"gpus": found})
            return _GPUS[0] if found else _GPUS[1]

        return look, watch.close

    def _look_at_work(self) -> Callable[[], float]:
        from llm_magics.paths import data_dir

        directory: Path | None = None

        def look() -> float:
            nonlocal directory
            try:
                directory = directory or data_dir()
                with os.scandir(directory) as entries:
                    stamps = [(entry.name, entry.stat().st_mtime_ns) for entry in entries if entry.is_file()]
            except OSError:
                directory = None  # made anew, where somebody removed it
                return _WORK
            self._last.tell("work", {"work": hash(tuple(sorted(stamps)))})
            return _WORK

        return look


class Last:
    """The last message of each kind, so that what was said is not said again; for several threads at once.

    Nothing is news while nobody looks: a look that was under way when the last one left is no word for the next one.

    Parameters
    ----------
    say
        Called with what is news, by one thread at a time, so that what was said last is what holds. It must not wait.
    """

    def __init__(self, say: Callable[[Message], None]) -> None:
        self._say = say
        self._said: dict[str, Message] = {}
        self._kept = False
        self._lock = threading.Lock()

    def keep(self, kept: bool) -> None:
        """Begin anew, or leave off."""
        with self._lock:
            self._kept = kept
            self._said.clear()

    def tell(self, kind: str, message: Message) -> None:
        """Say it, unless it was the last of its kind."""
        with self._lock:
            if self._kept and self._said.get(kind) != message:
                self._said[kind] = message
                self._say(message)

    def has(self, kind: str) -> bool:
        """Whether one of this kind was said."""
        with self._lock:
            return kind in self._said

    def messages(self) -> list[Message]:
        """The last of each kind."""
        with self._lock:
            return list(self._said.values())


def tell(send: Callable[[Message], None]) -> None:
    """Call `send` with every message, the first at once, until interrupted; one call at a time, in this thread.

    Raises whatever `send` raises.
    """
    from queue import Empty, SimpleQueue

    queue: SimpleQueue[Message] = SimpleQueue()
    looks = Looks(queue.put)
    looks.wanted(True)
    try:
        while True:
            try:
                message = queue.get(timeout=looks.see_to_it())
            except Empty:
                continue
            send(message)
    finally:
        looks.wanted(False)


def _steady(gpu: dict[str, Any]) -> dict[str, Any]:
    """A GPU in whole W, and in steps of 64 MiB where its memory is the machine's: of an idle one, less is no news."""
    steady = {key: round(gpu[key]) for key in ("power", "power_limit") if gpu[key] is not None}
    if gpu["unified"]:
        steady["memory_used"] = gpu["memory_used"] >> 26 << 26
    return gpu | steady


def _states(records: list[Record]) -> list[tuple[str, str]]:
    return [(record.id, record.state) for record in records]


def _counted(load: dict[str, Any]) -> tuple[Any, ...]:
    return load.get("prompt_tokens"), load.get("output_tokens")
