"""What is seen while somebody looks (`runtime/looking.py`), sent to every open tab of this server.

Several tabs share one look at things. What is sent is what the routes answer.
"""

from __future__ import annotations

import json
from typing import Protocol

from tornado.ioloop import IOLoop

from llm_magics.runtime.looking import Looks, Message


class Socket(Protocol):
    """Where messages go."""

    def send(self, text: str) -> None:
        """Send one, or drop it when the other end is gone."""


class Watcher:
    """The open sockets of a server."""

    def __init__(self, loop: IOLoop) -> None:
        self._sockets: set[Socket] = set()
        self._loop = loop
        # Said in threads, sent on the loop.
        self._looks = Looks(lambda message: loop.add_callback(self._send, message))
        self._alarm: object | None = None

    def add(self, socket: Socket) -> None:
        """A tab looks."""
        for message in self._looks.said():
            socket.send(json.dumps(message))
        self._sockets.add(socket)
        if len(self._sockets) == 1:
            self._looks.wanted(True)
            self._see_to_it()

    def remove(self, socket: Socket) -> None:
        """A tab looks no more."""
        self._sockets.discard(socket)
        if not self._sockets:
            self._looks.wanted(False)
            if self._alarm is not None:
                self._loop.remove_timeout(self._alarm)
                self._alarm = None

    def _see_to_it(self) -> None:
        self._alarm = self._loop.call_later(self._looks.see_to_it(), self._see_to_it)

    def _send(self, message: Message) -> None:
        text = json.dumps(message)
        for socket in list(self._sockets):
            socket.send(text)
