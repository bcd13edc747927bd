"""What is seen while somebody looks (`runtime/looking.py`), sent to every open tab of this server.

Several tabs share one look at things. What is sent is what the routes answer.
"""

from __future__ import annotations

import json
from typing import Protocol

from tornado.ioloop import IOLoop, PeriodicCallback

from llm_magics.runtime.looking import Last, Looks, Message


class Socket(Protocol):
    """Where messages go."""

    def send(self, text: str) -> None:
        """Send one, or drop it when the other end is gone."""


class Watcher:
    """The open sockets of a server."""

    def __init__(self, loop: IOLoop) -> None:
        self._sockets: set[Socket] = set()
        self._last = Last()
        # Said in threads, sent on the loop.
        self._looks = Looks(lambda kind, message: loop.add_callback(self._send, kind, message))
        self._alarm = PeriodicCallback(self._hung, 1000)

    def add(self, socket: Socket) -> None:
        """A tab looks."""
        for message in self._last.messages():
            socket.send(json.dumps(message))
        self._sockets.add(socket)
        if len(self._sockets) == 1:
            self._looks.wanted(True)
            self._alarm.start()

    def remove(self, socket: Socket) -> None:
        """A tab looks no more."""
        self._sockets.discard(socket)
        if not self._sockets:
            self._looks.wanted(False)
            self._alarm.stop()
            self._last.clear()

    def _hung(self) -> None:
        if (message := self._looks.hung()) is not None:
            self._send("trouble", message)

    def _send(self, kind: str, message: Message) -> None:
        if self._sockets and self._last.is_new(kind, message):
            text = json.dumps(message)
            for socket in list(self._sockets):
                socket.send(text)
