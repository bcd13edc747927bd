"""The requests in flight and the connections they are on: what was handed over to be sent, until its answer has ended.

When something is sent, and what follows from an answer, is another's to say (`driver`); here it gets out, at once on a
connection that stands or as soon as one does, and comes back ended: by the server, by a time-out, by a lost network.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Protocol

from llm_magics.load.connection import Connection, Exchange
from llm_magics.load.held import Held
from llm_magics.load.pool import Pool

_clock = time.monotonic_ns
MOST_CHUNKS = 1_000_000  # of one answer: 8 MB of stamps, and longer than any model's context


class Sender(Protocol):
    """Who hands requests over."""

    def settled(self, exchange: Exchange) -> None:
        """The request is in flight no more; its reply says how it ended."""

    @property
    def worth_keeping(self) -> int | None:
        """How many idle connections somebody is going to need; None where that is not known."""


class InFlight:
    """The requests under way; owner of the connections.

    Parameters
    ----------
    sender
        Is told what has become of each.
    timeout
        s that an answer may take from the moment it was sent.
    """

    def __init__(self, sender: Sender, timeout: float) -> None:
        self.pool: Pool | None = None
        self.held = Held(0)
        self._sender = sender
        self._timeout = timeout
        self._exchanges: dict[Exchange, Connection | None] = {}  # None: its connection is being opened

    def __len__(self) -> int:
        return len(self._exchanges)

    @property
    def chunks(self) -> int:
        """Chunks with content that they have received."""
        return sum(len(exchange.reply.stamps) for exchange in self._exchanges)

    # Out.

    def send(self, exchange: Exchange) -> None:
        """Send it now, or as soon as there is a connection."""
        self.held.note(len(self._exchanges), sending=True)
        pool = self.pool
        if pool is None:
            raise RuntimeError("no pool to send from")
        connection = pool.take()
        if connection is None:
            self._open_for(exchange)
            return
        self._exchanges[exchange] = connection
        connection.send(exchange)

    def prepare(self, due: int) -> bool:
        """Have connections for so many requests that are due soon; whether any stands or is being opened.

        No more: an idle connection costs some servers a thread (llama.cpp has six by default), and enough of them stop
        it altogether.
        """
        pool = self.pool
        if pool is None:
            raise RuntimeError("no pool to send from")
        for _ in range(due - len(pool.idle) - pool.opening):
            pool.open_soon(self._spare)
        return bool(pool.idle or pool.opening)

    def _open_for(self, exchange: Exchange) -> None:
        self._exchanges[exchange] = None
        if self.pool is not None:
            self.pool.open_soon(partial(self._opened, exchange))

    def _spare(self, connection: Connection | None, error: str | None) -> None:
        if connection is not None and self.pool is not None:
            self.pool.give(connection)

    def _opened(self, exchange: Exchange, connection: Connection | None, error: str | None) -> None:
        if exchange not in self._exchanges:  # stopped meanwhile
            if connection is not None:
                connection.close()
            return
        if connection is None:
            exchange.reply.fail(f"No connection to the server: {error}.", _clock())
            self._settle(exchange)
            return
        self._exchanges[exchange] = connection
        connection.send(exchange)

    # Back: the owner of the connections.

    def ended(self, connection: Connection, exchange: Exchange) -> None:
        """The exchange is over; its reply says how."""
        if connection.alive and self.pool is not None:
            self.pool.give(connection)
        self._settle(exchange)
        self._thin()

    def unused(self, connection: Connection, exchange: Exchange) -> None:
        """The server dropped a kept connection as the request was written: once more, on a new one."""
        exchange.retried = True
        self._open_for(exchange)

    def lost(self, connection: Connection) -> None:
        """An idle connection was closed by the server."""
        if self.pool is not None and connection in self.pool.idle:
            self.pool.idle.remove(connection)

    def _settle(self, exchange: Exchange) -> None:
        reply = exchange.reply
        self.held.note(len(self._exchanges))
        self._exchanges.pop(exchange, None)
        # `expire` looks a few times a second: what ended between two looks is judged here, by its own times.
        if reply.error is None and exchange.sent and reply.done - exchange.sent > self._timeout * 1e9:
            reply.error = self._too_late(exchange)
        exchange.payload = b""
        self._sender.settled(exchange)

    def _thin(self) -> None:
        """Close idle connections that nobody is going to need: other requests may be waiting for their thread."""
        pool, wanted = self.pool, self._sender.worth_keeping
        if pool is None or wanted is None:
            return
        while len(pool.idle) > wanted:
            pool.idle.pop(0).close()

    # Given up.

    def expire(self) -> None:
        """Give up on requests that took longer than the time-out, and on answers that nobody has room for."""
        oldest = _clock() - int(self._timeout * 1e9)
        for exchange, connection in list(self._exchanges.items()):
            if connection is None or not exchange.sent:
                continue
            if exchange.sent < oldest:
                connection.abandon(self._too_late(exchange))
            elif len(exchange.reply.stamps) > MOST_CHUNKS:
                connection.abandon(f"The answer did not end within {MOST_CHUNKS:,} chunks.")

    def drop(self) -> list[Exchange]:
        """Give up on all of them, whatever comes; they are settled no more."""
        dropped = list(self._exchanges)
        for connection in list(self._exchanges.values()):
            if connection is not None:
                connection.exchange = connection.reply = None
                connection.close()
        self._exchanges.clear()
        return dropped

    def _too_late(self, exchange: Exchange) -> str:
        what = "the answer did not end" if exchange.reply.first_byte else "no answer"
        return f"Time-out: {what} within {self._timeout:g} s."
