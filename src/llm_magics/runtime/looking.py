"""Seeing changes while somebody looks, and only then: for the panel in JupyterLab, and for `list --watch`.

One thread for each thing that can hang by itself (records, engines, GPUs, the run store), waiting without cost while
nobody looks. What is told are messages of one kind each; one that says what was said before is not told again, and
nothing is kept but the last of each kind, for somebody who comes later.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
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
_AGAIN = 5.0  # s after a look that failed
_AT_ONCE = 4  # engines that are asked for metrics at the same time


class Pulse(threading.Thread):
    """Calls `look` again and again while it is wanted; `look` says how many seconds to wait for the next time.

    A look that fails in a way that nobody thought of is logged, and the next one comes: a thread that ended would leave
    whoever watches before a still picture, with no word of it.
    """

    def __init__(self, name: str, look: Callable[[], float]) -> None:
        super().__init__(name=f"llm-magics {name}", daemon=True)
        self._look = look
        self._wanted = threading.Event()
        self._soon = threading.Event()
        self.last = 0.0

    def wanted(self, wanted: bool) -> None:
        """Begin (at once), or leave off."""
        self.last = time.monotonic()
        if not wanted:
            self._wanted.clear()
            return
        self._wanted.set()
        self._soon.set()
        if self.ident is None:
            self.start()

    def run(self) -> None:
        while self._wanted.wait():
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
        Called from several threads, with a kind and a message of that kind: `engines` (see `shown.listed`), `load`
        (by name, see `load_now`), `gpus`, `work` (a number that changes with the run store) or `trouble` (a line, ''
        when it is over).
    """

    def __init__(self, say: Callable[[str, Message], None]) -> None:
        self._say = say
        self._records: list[Record] = []
        self._states = Pulse("records", self._look_at_records())
        self._pulses = [
            self._states,
            Pulse("load", self._look_at_load()),
            Pulse("gpus", self._look_at_gpus()),
            Pulse("work", self._look_at_work()),
        ]

    def wanted(self, wanted: bool) -> None:
        """Begin to look, or leave off."""
        for pulse in self._pulses:
            pulse.wanted(wanted)

    def hung(self) -> Message | None:
        """What to tell when the records have not been seen for too long; None while they are."""
        if time.monotonic() - self._states.last > _HUNG:
            return {"trouble": "The directory of engines does not answer; what is shown may be old."}
        return None

    # Each of these makes the function of one pulse; what it remembers between two looks is its own. -------------------

    def _look_at_records(self) -> Callable[[], float]:
        from llm_magics.runtime.registry import Registry
        from llm_magics.runtime.watching import Watch

        watch: Watch | None = None

        def look() -> float:
            nonlocal watch
            try:
                watch = watch or Watch(Registry())
                records = watch.look()
            except OSError as error:
                self._say("trouble", {"trouble": f"The directory of engines cannot be read: {error.strerror or error}"})
                return 2 * _STATES
            self._records = records
            self._say("engines", listed(records))
            self._say("trouble", {"trouble": ""})
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
                self._say("load", {"load": {}})
                return _LOADS[0]
            registry = Registry()
            loads = several(((record.name, partial(load_now, record, registry)) for record in running), _HUNG)
            now = {name: _counted(load) for name, load in loads.items()}
            moving = now != before or any(load.get("running") or load.get("waiting") for load in loads.values())
            before = now
            self._say("load", {"load": loads})
            return _LOADS[0] if moving else _LOADS[1]

        return look

    def _look_at_gpus(self) -> Callable[[], float]:
        from llm_magics.runtime.gpus import gpus

        def look() -> float:
            try:
                found = [asdict(gpu) for gpu in gpus()]
            except Exception:  # noqa: BLE001 - a driver that fails in the middle: no GPU this time
                found = []
            self._say("gpus", {"gpus": found})
            return _GPUS[0] if found else _GPUS[1]

        return look

    def _look_at_work(self) -> Callable[[], float]:
        from llm_magics.paths import data_dir

        def look() -> float:
            try:
                with os.scandir(data_dir()) as entries:
                    stamps = [(entry.name, entry.stat().st_mtime_ns) for entry in entries if entry.is_file()]
            except OSError:
                return _WORK
            self._say("work", {"work": hash(tuple(sorted(stamps)))})
            return _WORK

        return look


class Last:
    """The last message of each kind, so that what was said is not said again. Not for several threads at once."""

    def __init__(self) -> None:
        self._said: dict[str, Message] = {}

    def is_new(self, kind: str, message: Message) -> bool:
        """Whether it differs from the last of its kind; it is then the last."""
        if self._said.get(kind) == message:
            return False
        self._said[kind] = message
        return True

    def messages(self) -> list[Message]:
        """The last of each kind."""
        return list(self._said.values())

    def clear(self) -> None:
        """Begin anew."""
        self._said.clear()


def tell(send: Callable[[Message], None], stop: threading.Event) -> None:
    """Call `send` with every message, the first at once, until `stop` is set; one call at a time, in this thread.

    Raises whatever `send` raises.
    """
    from queue import Empty, SimpleQueue

    queue: SimpleQueue[tuple[str, Message]] = SimpleQueue()
    last = Last()
    looks = Looks(lambda kind, message: queue.put((kind, message)))
    looks.wanted(True)
    try:
        while not stop.is_set():
            try:
                kind, message = queue.get(timeout=0.2)
            except Empty:
                hung = looks.hung()
                if hung is None:
                    continue
                kind, message = "trouble", hung
            if last.is_new(kind, message):
                send(message)
    finally:
        looks.wanted(False)


def _counted(load: dict[str, Any]) -> tuple[Any, ...]:
    return load.get("prompt_tokens"), load.get("output_tokens")
