"""The process that started a worker, as the worker sees it: it says things on stdin, and hears them on stdout.

The load never waits for it. What it does not read is dropped; the end of stdin, or another parent than at first (a
forked child of the kernel may hold stdin open), means that it wants no more or is dead.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson


class Parent:
    """Its side of the pipes.

    Parameters
    ----------
    heard
        What came behind the plan, read with it.
    on_line, on_end
        Called with each document it says; and once it says no more.
    """

    def __init__(self, heard: bytes, on_line: Callable[[dict[str, Any]], None], on_end: Callable[[], None]) -> None:
        self._heard, self._on_line, self._on_end = heard, on_line, on_end
        self._pid = os.getppid()
        self._listens = True
        self._loop = asyncio.get_running_loop()

    def listen(self) -> None:
        """Begin to hear it."""
        os.set_blocking(0, False)
        with suppress(OSError):
            os.set_blocking(1, False)
        self._loop.add_reader(0, self._readable)

    def close(self) -> None:
        """Hear it no more; it may still be told things."""
        self._loop.remove_reader(0)

    @property
    def gone(self) -> bool:
        """Whether it is dead."""
        return os.getppid() != self._pid

    def tell(self, line: dict[str, Any]) -> None:
        """A line for it; dropped when it does not read (a pipe holds hundreds of them)."""
        if not self._listens:
            return
        try:
            os.write(1, orjson.dumps(line) + b"\n")
        except BlockingIOError:
            pass
        except OSError:
            self._listens = False

    def _readable(self) -> None:
        try:
            data = os.read(0, 65_536)
        except BlockingIOError:
            return
        if not data:
            self.close()
            self._on_end()
            return
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            self._on_line(orjson.loads(line))
