"""The hot path's short way: it must count exactly what the long way counts, for every cut of every stream."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from llm_magics.load.connection import BufferedConnection, Connection, Exchange

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Wire:
    """A transport and an owner that only take notes."""

    def __init__(self, kind: type[Connection] = Connection) -> None:
        self.written = b""
        self.aborted = False
        self.ends: list[Exchange] = []
        self.again: list[Exchange] = []
        self.idle_losses = 0
        self.connection = kind(self, None)
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
    wire.connection.data_received(HEAD + event("a"))
    tail = exchange.reply.tail
    assert tail is not None
    for text in ("b", "c", "d"):
        wire.connection.data_received(event(text))
    assert len(exchange.reply.stamps) == 4
    assert exchange.reply.tail is tail  # untouched: `feed` would have set it anew
    wire.connection.data_received(event("", "stop") + b"0\r\n\r\n")
    assert wire.ends == [exchange]
    assert not wire.aborted


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
