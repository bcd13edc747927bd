"""Timers that fire when they should. An event loop's own have a millisecond's grain, which is a whole TTFT of error.

On Linux a timerfd wakes the loop within some 50 µs; elsewhere the loop's timer wakes it early and the rest is spun.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
import sys
import time
from collections.abc import Callable

_MONOTONIC = 1  # CLOCK_MONOTONIC
_NONBLOCK = 0o4000
_CLOEXEC = 0o2000000
_ABSOLUTE = 1  # TFD_TIMER_ABSTIME
_BILLION = 1_000_000_000


class TimerFd:
    """A descriptor that becomes readable at an absolute monotonic time (ns). Linux."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor: int = self._libc.timerfd_create(_MONOTONIC, _NONBLOCK | _CLOEXEC)

    def set(self, when: int) -> None:
        """Be readable from `when` on; replaces what was set before."""
        when = max(when, 1)
        spec = struct.pack("@qqqq", 0, 0, when // _BILLION, when % _BILLION)
        self._libc.timerfd_settime(self.descriptor, _ABSOLUTE, spec, None)

    def took(self) -> bool:
        """Whether the time has come; not readable any more then."""
        try:
            os.read(self.descriptor, 8)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.descriptor)


class Alarm:
    """Calls `fire` on the loop at the absolute monotonic times (ns) that it is set to."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fire: Callable[[], None]) -> None:
        self.loop = loop
        self.fire = fire
        self._handle: asyncio.Handle | None = None
        self._timer = TimerFd() if sys.platform == "linux" else None
        if self._timer is not None:
            loop.add_reader(self._timer.descriptor, self._ready)

    def set(self, when: int) -> None:
        """Fire once at `when`; replaces what was set before."""
        if self._timer is not None:
            self._timer.set(when)
            return
        if self._handle is not None:
            self._handle.cancel()
        early = (when - time.monotonic_ns()) / _BILLION - 0.002
        self._handle = (
            self.loop.call_later(early, self._spin, when) if early > 0 else self.loop.call_soon(self._spin, when)
        )

    def close(self) -> None:
        """Never fire again."""
        if self._handle is not None:
            self._handle.cancel()
        if self._timer is not None:
            self.loop.remove_reader(self._timer.descriptor)
            self._timer.close()
            self._timer = None

    def _ready(self) -> None:
        if self._timer is not None and self._timer.took():
            self.fire()

    def _spin(self, when: int) -> None:
        if time.monotonic_ns() >= when:
            self.fire()
        else:
            self._handle = self.loop.call_soon(self._spin, when)
