"""Reads plain TCP connections many at a time: what a wake-up of the process costs is shared by all that is ready.

256 streams used to cost more a chunk than 512. That suggests (it was not measured apart) that at 25,000 chunks/s most
chunks find the worker asleep, and that waking it costs more than reading. So the sockets of a run hang in
an epoll of their own, of which the event loop sees one descriptor; each time it is ready all that wait are read, and
where chunks come thick the worker first waits a moment for more. What was there before that moment is stamped with
the time at which it was seen,
so only those that come within it are blurred, by less than its length. Without epoll, and for TLS, connections
are read by the event loop (`Connection` is an asyncio protocol too).
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_magics.load.connection import Connection

_clock = time.monotonic_ns
_SIZE = 65_536  # bytes a read
_READS = 16  # reads of one connection in a row
_MOST = 1_024  # connections between two looks at the rest of the loop
_PAUSE = 100_000  # ns to wait for more
_ENOUGH = 8  # connections ready: nothing to wait for
_SMOOTH = 0.05

AVAILABLE = sys.platform == "linux"


class Wire:
    """The plain connections of a run."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._epoll = select.epoll()
        self._events = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
        self._connections: dict[int, Connection] = {}
        self._last = _clock()
        self._ahead = 0.0  # connections that become ready within a pause, on average
        loop.add_reader(self._epoll.fileno(), self._ready)

    def add(self, connection: Connection, sock: socket.socket) -> None:
        """Read a connected socket from now on."""
        self._connections[sock.fileno()] = connection
        self._epoll.register(sock.fileno(), self._events)

    def watch(self, sock: socket.socket, *, room: bool) -> None:
        """Tell the connection (`Connection.room`) when its socket takes bytes again, or no more."""
        self._epoll.modify(sock.fileno(), self._events | (select.EPOLLOUT if room else 0))

    def drop(self, sock: socket.socket) -> None:
        """Forget and close a socket."""
        if self._connections.pop(sock.fileno(), None) is not None:
            self._epoll.unregister(sock.fileno())
        sock.close()

    def close(self) -> None:
        """Read nothing more."""
        if not self._epoll.closed:
            self.loop.remove_reader(self._epoll.fileno())
            self._epoll.close()

    def _ready(self) -> None:
        ready = self._epoll.poll(0, _MOST)
        now = _clock()
        if self._ahead > 1.0 and len(ready) < _ENOUGH:
            time.sleep(_PAUSE / 1e9)
            late = dict(self._epoll.poll(0, _MOST))
            for place, (descriptor, events) in enumerate(ready):
                if descriptor in late:  # its one read comes after both: a second would be in vain
                    ready[place] = (descriptor, events | late.pop(descriptor))
            self._read(ready, now)
            self._read(list(late.items()), _clock() if late else now)
            some = len(ready) + len(late)
        else:
            self._read(ready, now)
            some = len(ready)
        self._ahead += (some * _PAUSE / max(now - self._last, 1) - self._ahead) * _SMOOTH
        self._last = now

    def _read(self, ready: list[tuple[int, int]], now: int) -> None:
        """One read of each connection, stamped `now`; of those that have ended, all that is left."""
        find, read, plain = self._connections.get, os.read, select.EPOLLIN
        for descriptor, events in ready:
            connection = find(descriptor)
            if connection is None:  # closed by what was read before it
                continue
            if events & select.EPOLLOUT:
                connection.room()
            try:
                data = read(descriptor, _SIZE)
                if data:
                    connection.take(data, now)
                    left = _READS
                    while (events != plain or len(data) == _SIZE) and find(descriptor) is connection:
                        if not left:  # it sends faster than we read: the others, and time-outs, have their turn
                            self._epoll.modify(descriptor, self._events | (events & select.EPOLLOUT))
                            break
                        left -= 1
                        data = read(descriptor, _SIZE)
                        if not data:
                            connection.connection_lost(None)
                            break
                        connection.take(data, _clock())
                else:
                    connection.connection_lost(None)
            except BlockingIOError:
                continue
            except OSError as error:
                connection.connection_lost(error)
            except Exception as error:  # noqa: BLE001 - a bug of ours: it is said, and the others are read all the same
                self.loop.call_exception_handler({"message": "a connection was read in vain", "exception": error})
