"""Ending what goes on line by line when nobody reads it any more.

A command that waits for something to say (`logs -f`, `list --watch`) does not see that its reader is gone before it
writes again, and that may be never: an editor that is closed or killed would leave one behind each time.
"""

from __future__ import annotations

import _thread
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def while_read() -> Iterator[None]:
    """Inside, a reader of stdout that goes away is a KeyboardInterrupt, as Ctrl-C would be.

    A pipe, a socket or a terminal is watched; a file has no reader, and nothing happens.
    """
    over = threading.Event()
    try:
        stdout = sys.stdout.fileno()
    except (OSError, ValueError):  # stdout is no file: captured, or closed
        yield
        return
    if hasattr(select, "poll"):
        threading.Thread(target=_wait, args=(stdout, over), daemon=True, name="llm-magics reader").start()
    try:
        yield
    finally:
        over.set()


def _wait(stdout: int, over: threading.Event) -> None:
    gone = select.poll()
    gone.register(stdout, 0)  # that the other end is closed is always told
    while not over.is_set():
        if gone.poll(1000):
            if not over.is_set():
                _thread.interrupt_main()
            return
