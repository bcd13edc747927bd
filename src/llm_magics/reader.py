"""Ending what goes on line by line when nobody reads it any more.

A command that waits for something to say (`logs -f`, `list --watch`) does not see that its reader is gone before it
writes again, and that may be never: an editor that is closed or killed would leave one behind each time.
"""

from __future__ import annotations

import _thread
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType


def while_read(work: Callable[[], object]) -> None:
    """Do `work`; a reader of stdout that goes away is a KeyboardInterrupt in it; that and Ctrl-C end it quietly.

    A pipe, a socket or a terminal is watched; a file has no reader, and nothing happens.
    """
    with suppress(KeyboardInterrupt):
        try:
            stdout = sys.stdout.fileno()
        except (OSError, ValueError):  # stdout is no file: captured, or closed
            work()
            return
        gone, over, at_the_end = threading.Event(), threading.Event(), threading.Lock()
        try:
            with _interruptible(gone):  # before anybody watches: the reader may be gone already
                if hasattr(select, "poll"):
                    watcher = (stdout, gone, over, at_the_end)
                    threading.Thread(target=_wait, args=watcher, daemon=True, name="llm-magics reader").start()
                work()
        finally:
            with at_the_end:  # an interrupt comes before this or not at all
                over.set()


@contextmanager
def _interruptible(gone: threading.Event) -> Iterator[None]:
    """A script starts what is to run in the background with Ctrl-C ignored: then only a reader's end interrupts it."""
    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        yield
        return

    def interrupt(signum: int, frame: FrameType | None) -> None:
        if gone.is_set():
            signal.default_int_handler(signum, frame)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _wait(stdout: int, gone: threading.Event, over: threading.Event, at_the_end: threading.Lock) -> None:
    reader = select.poll()
    reader.register(stdout, 0)  # that the other end is closed is always told
    while not over.is_set():
        if reader.poll(1000):
            gone.set()
            with at_the_end:
                if not over.is_set():
                    _thread.interrupt_main()
            return
