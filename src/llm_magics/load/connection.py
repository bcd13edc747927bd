"""The hot path: one keep-alive connection, which writes a request prepared beforehand and stamps what comes back.

A read that is one HTTP chunk holding one event of the
shape already seen costs a few byte comparisons and no more; everything else goes to `Reply.feed`.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any, Protocol

from llm_magics.load.reply import Reply
from llm_magics.load.wire import Wire

_clock = time.monotonic_ns  # CLOCK_MONOTONIC, the same for every process of a machine
_QUOTE = 0x22


class Exchange:
    """One request and what became of it. Times are ns on the monotonic clock, 0 where it never happened."""

    __slots__ = (
        "asked", "index", "intended", "model", "payload", "point", "reply", "retried", "sent", "talk", "turn", "warmup",
    )  # fmt: skip

    def __init__(
        self,
        index: int,
        intended: int,
        payload: bytes,
        asked: int | None,
        reply: Reply | None = None,
        *,
        warmup: bool = False,
    ) -> None:
        self.index = index
        self.intended = intended
        self.payload = payload
        self.asked = asked
        self.warmup = warmup
        self.sent = 0
        self.retried = False
        self.point = 0
        self.model: str | None = None
        self.talk: Any = None  # the conversation it is a turn of
        self.turn = 0
        self.reply = Reply() if reply is None else reply


class Owner(Protocol):
    """Who is told what happens on a connection."""

    def ended(self, connection: Connection, exchange: Exchange) -> None:
        """The exchange is over; its reply says how."""

    def unused(self, connection: Connection, exchange: Exchange) -> None:
        """The server closed a waiting connection just as the request was written; nothing came back."""

    def lost(self, connection: Connection) -> None:
        """An idle connection was closed by the server."""


class Connection(asyncio.Protocol):
    """A connection to the server; carries one exchange at a time.

    Plain ones are read by a `Wire` and write to their socket themselves, so that the stamp is taken at the system call;
    others (TLS, systems without epoll) are an asyncio protocol on a transport.
    """

    __slots__ = ("alive", "exchange", "owner", "reply", "since", "sock", "transport", "unsent", "used", "wire")

    def __init__(self, owner: Owner, wire: Wire | None = None, sock: socket.socket | None = None) -> None:
        self.owner = owner
        self.wire = wire
        self.sock = sock
        self.transport: Any = None
        self.exchange: Exchange | None = None
        self.reply: Reply | None = None
        self.alive = False
        self.used = False
        self.unsent: bytes | memoryview = b""  # of a long request, what the socket did not take at once
        self.since = 0  # when it became idle
        if wire is not None and sock is not None:
            wire.add(self, sock)
            self.alive = True
            self.since = _clock()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection stands."""
        self.transport = transport
        self.alive = True
        self.since = _clock()

    def send(self, exchange: Exchange) -> None:
        """Write the request; `exchange.sent` is the moment of the system call."""
        self.exchange = exchange
        self.reply = exchange.reply
        payload = exchange.payload
        exchange.sent = _clock()
        if self.sock is None:
            self.transport.write(payload)
            return
        try:
            written = self.sock.send(payload)
        except BlockingIOError:
            written = 0
        except OSError as error:
            if self.wire is not None:  # not from within the sending: the owner would send again from within it
                self.wire.loop.call_soon(self.connection_lost, error)
            return
        if written < len(payload) and self.wire is not None:
            self.unsent = memoryview(payload)[written:]
            self.wire.watch(self.sock, room=True)

    def room(self) -> None:
        """The socket takes bytes again."""
        if self.wire is None or self.sock is None:
            return
        try:
            self.unsent = self.unsent[self.sock.send(self.unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self.unsent = b""  # reading tells why
        if not self.unsent:
            self.wire.watch(self.sock, room=False)

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes have come."""
        self.take(data, _clock())

    def take(self, data: bytes, now: int) -> None:
        """Bytes that were there at `now`."""
        reply = self.reply
        if reply is None:
            self.close()  # nothing was asked: the server is saying goodbye or out of step
            return
        tail = reply.tail
        if tail is not None and data.endswith(tail):
            size = data.find(b"\r\n", 1, 12)
            text = size + 2 + reply.hole
            end = len(data) - len(tail)
            try:
                if (
                    text < end
                    and data.startswith(reply.head, size + 2)
                    and data[text] != _QUOTE
                    and data.find(b"\n", text, end) < 0
                    and int(data[:size], 16) + size + 4 == len(data)
                ):
                    reply.stamps.append(now)
                    return
            except ValueError:
                pass  # a chunk extension stands beside the size: the long way knows them
        try:
            over = reply.feed(data, now)
        except Exception as error:  # noqa: BLE001 - whatever a server sends ends its own answer and no other
            reply.fail(f"The answer could not be read: {type(error).__name__}: {error}", now)
            over = True
        if over:
            self._over()

    def eof_received(self) -> bool | None:
        """asyncio: the server has closed its side; connection_lost follows."""
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self.close()
        exchange, reply = self.exchange, self.reply
        if exchange is None or reply is None:
            self.owner.lost(self)
            return
        now = _clock()
        stale = self.used or exchange.sent - self.since > 1_000_000_000
        if stale and not reply.first_byte and not exchange.retried:
            self.exchange = self.reply = None
            self.owner.unused(self, exchange)
            return
        reply.closed(now, str(exc) if exc else None)
        self._over()

    def abandon(self, error: str) -> None:
        """End the exchange from our side (a time-out); the connection is closed."""
        exchange, reply = self.exchange, self.reply
        if exchange is None or reply is None:
            return
        reply.fail(error, _clock())
        self._over()

    def close(self) -> None:
        """Close without waiting."""
        self.alive = False
        self.unsent = b""
        if self.transport is not None:
            self.transport.abort()
        elif self.wire is not None and self.sock is not None:
            self.wire.drop(self.sock)
            self.wire = None

    def _over(self) -> None:
        exchange, reply = self.exchange, self.reply
        if exchange is None or reply is None:
            return
        self.exchange = self.reply = None
        self.used = True
        self.since = reply.done
        if not reply.reusable:
            self.close()
        self.owner.ended(self, exchange)


class BufferedConnection(Connection, asyncio.BufferedProtocol):
    """The same on the standard library's loop, which else makes a 256 KiB buffer for every read."""

    __slots__ = ()
    _view = memoryview(bytearray(65_536))  # one for all: it is emptied before the next read

    def get_buffer(self, sizehint: int) -> memoryview:
        """asyncio: where to put what comes."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """asyncio: so many bytes have come."""
        self.data_received(bytes(self._view[:nbytes]))
