"""Live progress: one display, updated in place at most five times a second, gone or final when the work is done.

In a notebook it is one output with a display id; in a terminal one line on stderr that is written over; where stderr is
no terminal (CI, a file) a line for each step of the work; with LLM_MAGICS_NONINTERACTIVE=1 nothing. What is shown is an
object with `_repr_mimebundle_`, `__str__` and, as `cards.Card` has them, `oneline`, `milestone`, `stays` and `ended`.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Protocol

from llm_magics.views.bench_progress import BenchProgress
from llm_magics.views.format import shortened

__all__ = ["BenchProgress", "Live", "live"]

INTERVAL = 0.2  # s between two updates
PATIENCE = 0.3  # s of work that are worth no display

_outer: ContextVar[Live | None] = ContextVar("llm_magics_live", default=None)


class Screen(Protocol):
    """Where progress is drawn."""

    def draw(self, shown: Any) -> None:
        """Show an object in place of the last one."""

    def close(self, final: Any | None) -> None:
        """End with an object, or with nothing left."""


class Live:
    """A display that follows some work; a context manager that yields the function to show a state with.

    A state that comes too soon after the last one waits until the next or the end; the last one is never lost. Inside
    another `Live` of the same context the outer one's display is used: a comparison of twelve runs has one display.
    Any thread may show.
    """

    def __init__(self, screen: Screen | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._screen = screen
        self._clock = clock
        self._lock = threading.Lock()
        self._latest: Any = None
        self._drawn: Any = None
        self._next = 0.0
        self._inside: Live | None = None
        self._token: Any = None

    def __enter__(self) -> Live:
        self._inside = _outer.get()
        if self._inside is None:
            self._token = _outer.set(self)
            self._screen = self._screen or _screen()
            self._next = self._clock() + PATIENCE
        return self

    def __call__(self, shown: Any) -> None:
        """Show a state; cheap when it is too soon."""
        if self._inside is not None:
            self._inside(shown)
            return
        with self._lock:
            self._latest = shown
            now = self._clock()
            if self._screen is not None and now >= self._next:
                self._next = now + INTERVAL
                self._drawn = shown
                self._screen.draw(shown)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._inside is not None:
            return
        _outer.reset(self._token)
        with self._lock:
            if self._screen is None or self._latest is None:
                return
            final = self._latest
            if error is not None and hasattr(final, "ended"):
                final = final.ended(error)
            if getattr(final, "stays", True) and (error is None or self._drawn is not None):
                self._screen.close(final)
            elif self._drawn is not None:
                self._screen.close(None)


def live() -> Live:
    """A display for the work that follows: `with live() as show: show(state)`."""
    return Live()


class Notebook:
    """One output of a notebook's cell, updated through its display id."""

    def __init__(self) -> None:
        self._handle: Any = None

    def draw(self, shown: Any) -> None:
        """Show an object in place of the last one."""
        self._publish(shown._repr_mimebundle_())

    def close(self, final: Any | None) -> None:
        """End with an object, or with an empty output: front ends cannot take one away."""
        self._publish({"text/plain": "", "text/html": ""} if final is None else final._repr_mimebundle_())

    def _publish(self, bundle: dict[str, Any]) -> None:
        from IPython.display import display

        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(bundle, raw=True)


class Terminal:
    """One line on stderr, written over; the final state on lines of its own."""

    def draw(self, shown: Any) -> None:
        """Show an object in place of the last one."""
        width = shutil.get_terminal_size().columns - 1
        self._write("\r\x1b[K" + shortened(getattr(shown, "oneline", str(shown)), width))

    def close(self, final: Any | None) -> None:
        """End with an object, or with nothing left."""
        self._write("\r\x1b[K" if final is None else f"\r\x1b[K{final}\n")

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


class Log:
    """A line on stderr whenever the work has come to another step; what it ends with is the result's to say."""

    def __init__(self) -> None:
        self._last = ""

    def draw(self, shown: Any) -> None:
        """Say where the work has come to, once."""
        said = getattr(shown, "milestone", "")
        if said and said != self._last:
            self._last = said
            with suppress(OSError, ValueError):  # nobody reads it, or it is closed: no reason to end what is measured
                print(said, file=sys.stderr, flush=True)  # noqa: T201

    def close(self, final: Any | None) -> None:
        """Nothing: lines stay."""


def _screen() -> Screen | None:
    if os.environ.get("LLM_MAGICS_NONINTERACTIVE", "") not in ("", "0"):
        return None
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and hasattr(shell, "kernel"):
        return Notebook()
    if sys.stderr is None:
        return None
    return Terminal() if sys.stderr.isatty() else Log()
