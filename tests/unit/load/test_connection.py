"""The hot path's short way: it must count exactly what the long way counts, for every cut of every stream."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_magics.load import wire
from llm_magics.load.connection import BufferedConnection, Connection, Exchange
from llm_magics.load.wire import Wire as Cable

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Wire:
    """A transport and an owner that only take notes."""

    def __init__(self, kind: type[Connection] = Connection) -> None:
        self.written = b""
        self.aborted = False
        self.ends: list[Exchange] = []
        self.again: list[Exchange] = []
        self.idle_losses = 0
        self.connection = kind(self)
        self.connection.connection_made(self)  # type: ignore[arg-type]

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True

    def ended(self, connection: Connection, exchange: Exchange) -> None:
        self.ends.append(exchange)

    def unused(self, connection: Connection, exchange: Exchange) -> None:
        self.again.append(exchange)

    def lost(self, connection: Connection) -> None:
        self.idle_losses += 1

    def ask(self) -> Exchange:
        exchange = Exchange(0, 1, b"POST", 8)
        self.connection.send(exchange)
        return exchange


def event(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    data = b"data: " + json.dumps({"id": "c", "choices": [choice]}).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_sends_what_it_was_given_and_stamps_it() -> None:
    wire = Wire()
    exchange = wire.ask()
    assert wire.written == b"POST"
    assert exchange.sent > 0


def test_a_chunk_a_read_takes_the_short_way() -> None:
    wire = Wire()
    exchange = wire.ask()
    wire.connection.data_received(HEAD + event("a") + event("a"))
    tail = exchange.reply.tail
    assert tail is not None
    for text in ("b", "c", "d"):
        wire.connection.data_received(event(text))
    assert len(exchange.reply.stamps) == 5
    assert exchange.reply.tail is tail  # untouched: `feed` would have set it anew
    wire.connection.data_received(event("", "stop") + b"0\r\n\r\n")
    assert wire.ends == [exchange]
    assert not wire.aborted


@pytest.mark.parametrize("extension", [b";x=1", b";a", b" ", b';n="v"'])
def test_a_chunk_extension_is_counted_where_the_short_way_is_armed(extension: bytes) -> None:
    wire = Wire()
    exchange = wire.ask()
    wire.connection.data_received(HEAD + event("a") + event("a"))
    assert exchange.reply.tail is not None
    size, _, rest = event("b").partition(b"\r\n")
    wire.connection.data_received(size + extension + b"\r\n" + rest)
    wire.connection.data_received(event("c"))
    assert len(exchange.reply.stamps) == 4


def test_an_answer_that_cannot_be_read_ends_with_an_error_and_no_other_does(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire()
    exchange = wire.ask()
    monkeypatch.setattr(type(exchange.reply), "_decode", lambda *_: 1 / 0)
    wire.connection.data_received(HEAD + event("a"))
    assert wire.ends == [exchange]
    assert "ZeroDivisionError" in str(exchange.reply.error)
    assert wire.aborted


def test_stamps_never_go_back() -> None:
    wire = Wire()
    exchange = wire.ask()
    for data in (HEAD, event("a"), event("b"), event("c"), event("", "stop"), b"0\r\n\r\n"):
        wire.connection.data_received(data)
    times = [exchange.sent, exchange.reply.first_byte, *exchange.reply.stamps, exchange.reply.done]
    assert times == sorted(times)


@settings(max_examples=300, deadline=None)
@given(
    texts=st.lists(st.text(max_size=6), min_size=1, max_size=10),
    cuts=st.lists(st.integers(0, 4000), max_size=10),
    chunky=st.booleans(),
)
def test_short_way_and_long_way_agree(texts: list[str], cuts: list[int], chunky: bool) -> None:
    parts = [HEAD, *(event(text) for text in texts), event("", "stop"), b"0\r\n\r\n"]
    data = b"".join(parts)
    places = sorted({min(cut, len(data)) for cut in cuts})
    pieces = parts if chunky else [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
    wire = Wire()
    exchange = wire.ask()
    for piece in pieces:
        if piece:
            wire.connection.data_received(piece)
    assert wire.ends == [exchange]
    assert len(exchange.reply.stamps) == sum(1 for text in texts if text)
    assert (exchange.reply.error, exchange.reply.finish) == (None, "stop")


def test_kept_connection_that_the_server_dropped_is_tried_once_more() -> None:
    wire = Wire()
    first = wire.ask()
    wire.connection.data_received(HEAD + event("a", "stop") + b"0\r\n\r\n")
    second = wire.ask()
    wire.connection.connection_lost(None)
    assert (wire.ends, wire.again) == ([first], [second])


def test_fresh_connection_that_is_dropped_is_an_error() -> None:
    wire = Wire()
    exchange = wire.ask()
    wire.connection.connection_lost(ConnectionResetError(104, "Connection reset by peer"))
    assert wire.ends == [exchange]
    assert "before the answer began" in str(exchange.reply.error)


def test_dropped_in_the_middle_is_an_error_and_keeps_what_came() -> None:
    wire = Wire()
    exchange = wire.ask()
    wire.connection.data_received(HEAD + event("a") + event("b"))
    wire.connection.connection_lost(None)
    assert len(exchange.reply.stamps) == 2
    assert "in the middle" in str(exchange.reply.error)


def test_time_out_ends_the_exchange_and_the_connection() -> None:
    wire = Wire()
    exchange = wire.ask()
    wire.connection.abandon("too long")
    assert (wire.ends, wire.aborted, exchange.reply.error) == ([exchange], True, "too long")
    wire.connection.connection_lost(None)
    assert wire.idle_losses == 1  # reported as idle: the exchange is over


def test_bytes_nobody_asked_for_close_the_connection() -> None:
    wire = Wire()
    wire.connection.data_received(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert wire.aborted


def test_standard_library_variant_reads_the_same() -> None:
    wire = Wire(BufferedConnection)
    exchange = wire.ask()
    for data in (HEAD + event("a"), event("b"), event("", "stop") + b"0\r\n\r\n"):
        view: Any = wire.connection
        view.get_buffer(-1)[: len(data)] = data
        view.buffer_updated(len(data))
    assert (len(exchange.reply.stamps), wire.ends) == (2, [exchange])


class Server:
    """A listening socket, a connection to it that a wire reads, and an owner that takes notes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, streams: int = 1) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.wire = Cable(loop)
        self.ends: list[Exchange] = []
        self.again: list[Exchange] = []
        self.idle_losses = 0
        self.pairs = [self._pair() for _ in range(streams)]

    def _pair(self) -> tuple[Connection, socket.socket]:
        mine = socket.create_connection(self.listener.getsockname())
        mine.setblocking(False)
        return Connection(self, self.wire, mine), self.listener.accept()[0]

    def ended(self, connection: Connection, exchange: Exchange) -> None:
        self.ends.append(exchange)

    def unused(self, connection: Connection, exchange: Exchange) -> None:
        self.again.append(exchange)

    def lost(self, connection: Connection) -> None:
        self.idle_losses += 1

    def close(self) -> None:
        for connection, theirs in self.pairs:
            connection.close()
            theirs.close()
        self.wire.close()
        self.listener.close()


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(12_000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came true")


def on_a_wire(scene: Callable[[Server], Coroutine[Any, Any, None]], streams: int = 1) -> None:
    async def play() -> None:
        server = Server(asyncio.get_running_loop(), streams)
        try:
            await scene(server)
        finally:
            server.close()

    asyncio.run(play())


linux = pytest.mark.skipif(not wire.AVAILABLE, reason="no epoll: asyncio reads the connections")


@linux
def test_a_wire_reads_many_connections_and_mixes_up_none() -> None:
    async def scene(server: Server) -> None:
        asked = []
        for number, (connection, theirs) in enumerate(server.pairs):
            asked.append(Exchange(number, 1, b"POST", 8))
            connection.send(asked[-1])
            assert theirs.recv(10) == b"POST"
        for count in range(1, 6):
            for number, (_, theirs) in enumerate(server.pairs):
                if number >= count:
                    theirs.sendall((HEAD if count == 1 else b"") + event("a"))
            await asyncio.sleep(0.001)
        for _, theirs in server.pairs:
            theirs.sendall((HEAD if theirs is server.pairs[0][1] else b"") + event("", "stop") + b"0\r\n\r\n")
        await until(lambda: len(server.ends) == len(server.pairs))
        assert [len(each.reply.stamps) for each in asked] == [min(number, 5) for number in range(8)]
        for each in asked:
            times = [each.sent, *each.reply.stamps, each.reply.done]
            assert times == sorted(times)

    on_a_wire(scene, streams=8)


@linux
def test_a_wire_reads_what_came_before_the_end_and_then_the_end() -> None:
    async def scene(server: Server) -> None:
        ((connection, theirs),) = server.pairs
        exchange = Exchange(0, 1, b"POST", 8)
        connection.send(exchange)
        assert theirs.recv(10) == b"POST"  # closing with bytes unread would be a reset
        theirs.sendall(HEAD + event("a" * 200_000) + event("b"))
        theirs.close()
        await until(lambda: bool(server.ends))
        assert len(exchange.reply.stamps) == 2
        assert "in the middle" in str(exchange.reply.error)
        assert not connection.alive

    on_a_wire(scene)


@linux
def test_a_wire_leaves_one_that_sends_faster_than_it_reads_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, before = 0, []

    async def scene(server: Server) -> None:
        (first, one), (second, other) = server.pairs
        flooded = first.sock.fileno() if first.sock is not None else -1
        real = os.read

        def read(descriptor: int, size: int) -> bytes:
            nonlocal reads
            if descriptor != flooded:
                before.append(reads)
                return real(descriptor, size)
            reads += 1
            if reads > 500:  # a wire that never leaves it would not come to the others' end
                raise BlockingIOError
            return (HEAD + b"fffffff\r\n" if reads == 1 else b"").ljust(size, b"a")

        monkeypatch.setattr(wire.os, "read", read)
        for connection in (first, second):
            connection.send(Exchange(0, 1, b"POST", 8))
        one.sendall(b"!")
        other.sendall(HEAD + event("a", "stop") + b"0\r\n\r\n")
        await until(lambda: len(server.ends) == 1 and reads > 500)  # and the flooded one is read on

    on_a_wire(scene, streams=2)
    assert before[0] < 100


@linux
def test_a_wire_writes_a_long_request_as_the_server_takes_it() -> None:
    async def scene(server: Server) -> None:
        ((connection, theirs),) = server.pairs
        exchange = Exchange(0, 1, b"x" * 12_000_000, 8)
        connection.send(exchange)
        theirs.setblocking(False)
        got = 0

        def take() -> bool:
            nonlocal got
            with suppress(BlockingIOError):
                while True:
                    got += len(theirs.recv(1 << 20))
            return got >= 12_000_000

        await until(take)
        theirs.sendall(HEAD + event("a", "stop") + b"0\r\n\r\n")
        await until(lambda: bool(server.ends))
        assert exchange.reply.error is None
        assert got == 12_000_000

    on_a_wire(scene)


@linux
def test_a_reset_and_an_idle_loss_are_told() -> None:
    async def scene(server: Server) -> None:
        (first, one), (_, other) = server.pairs
        exchange = Exchange(0, 1, b"POST", 8)
        first.send(exchange)
        one.sendall(HEAD + event("a"))
        await until(lambda: len(exchange.reply.stamps) == 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.close()
        other.close()
        await until(lambda: bool(server.ends) and server.idle_losses == 1)
        assert "reset" in str(exchange.reply.error).lower()

    on_a_wire(scene, streams=2)


def test_an_owner_that_fails_costs_the_other_connections_of_the_batch_nothing() -> None:
    async def scene(server: Server) -> None:
        said: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context.get("exception")))
        failing = ValueError("a bug of ours")
        real = server.ended

        def ended(connection: Connection, exchange: Exchange) -> None:
            if exchange.index == 0:
                raise failing
            real(connection, exchange)

        server.ended = ended  # type: ignore[method-assign]
        exchanges = []
        for number, (connection, theirs) in enumerate(server.pairs):
            exchanges.append(Exchange(number, 1, b"POST", 8))
            connection.send(exchanges[-1])
            theirs.sendall(HEAD + event("a") + event("", "stop") + b"0\r\n\r\n")
        await until(lambda: len(server.ends) == 3)  # all were there when the first was read
        assert {exchange.index for exchange in server.ends} == {1, 2, 3}
        assert said == [failing]

    on_a_wire(scene, streams=4)
