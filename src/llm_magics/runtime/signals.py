"""Signals as something a loop reads: TERM is a question, the others end nothing."""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket


class Signals:
    """This process's signals from now on; to be made in its main thread.

    Parameters
    ----------
    selector
        The loop's: every signal wakes it. The data of what it finds is what has to be called.

    Attributes
    ----------
    asked
        Whether TERM came.
    """

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self.asked = False
        self._reader, self._waker = socket.socketpair()
        self._reader.setblocking(False)
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        selector.register(self._reader, selectors.EVENT_READ, self._drain)
        signal.signal(signal.SIGTERM, self._ask)
        # Handlers, not SIG_IGN: what is ignored would stay ignored in the engine.
        for signum in (signal.SIGCHLD, signal.SIGINT, signal.SIGHUP):
            signal.signal(signum, lambda *_: None)

    def _ask(self, *_: object) -> None:
        self.asked = True

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(4096)
