"""Reading an answer: what counts as a token, when it came, and that no cut of the network changes either."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_magics.load.kept import Kept
from llm_magics.load.reply import Reply
from llm_magics.results.columns import Columns
from llm_magics.results.records import RequestRecord

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def sse(document: Any, newline: bytes = b"\n", space: bytes = b" ") -> bytes:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return b"data:" + space + text + newline * 2


def chunk(data: bytes, extension: bytes = b"") -> bytes:
    return b"%x%s\r\n%s\r\n" % (len(data), extension, data)


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"id": "c-1", "created": 1, "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


ROLE = delta(role="assistant", content="")
STOP = delta("stop")
USAGE = {"id": "c-1", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3}}
DONE = b"[DONE]"


def whole(*events: Any) -> bytes:
    return HEAD + b"".join(chunk(sse(event)) for event in events) + b"0\r\n\r\n"


def read(*pieces: bytes) -> Reply:
    """Each piece arrives one tick after the one before."""
    reply = Reply()
    for tick, piece in enumerate(pieces, 1):
        if reply.over:
            break
        reply.feed(piece, tick)
    return reply


def facts(reply: Reply) -> tuple[Any, ...]:
    return (
        len(reply.stamps), reply.status, reply.finish, reply.prompt_tokens, reply.output_tokens, reply.cached_tokens,
        reply.error, reply.over, reply.reusable,
    )  # fmt: skip


def test_role_alone_is_no_token() -> None:
    reply = read(HEAD + chunk(sse(ROLE)), chunk(sse(delta(content="a"))), chunk(sse(STOP)), b"0\r\n\r\n")
    assert list(reply.stamps) == [2]
    assert reply.first_byte == 1
    assert (reply.error, reply.finish, reply.over, reply.reusable) == (None, "stop", True, True)


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "a"},
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"content": None, "tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ""}}]},
        {"content": [{"type": "text", "text": "a"}]},
    ],
)
def test_text_reasoning_and_tool_calls_are_content(fields: dict[str, Any]) -> None:
    assert len(read(whole(ROLE, delta(**fields), STOP, DONE)).stamps) == 1


@pytest.mark.parametrize("fields", [{}, {"content": ""}, {"content": None}, {"tool_calls": []}, {"role": "assistant"}])
def test_nothing_is_no_content(fields: dict[str, Any]) -> None:
    assert len(read(whole(delta(**fields), STOP, DONE)).stamps) == 0


def test_completions_carry_text() -> None:
    event = {"choices": [{"index": 0, "text": "a", "finish_reason": None}]}
    assert (
        len(read(whole(event, event, {"choices": [{"index": 0, "text": "", "finish_reason": "length"}]})).stamps) == 2
    )


@pytest.mark.parametrize("place", ["last", "every", "with finish", "never"])
def test_usage_wherever_it_comes(place: str) -> None:
    usage = [
        {"prompt_tokens": 5, "completion_tokens": n, "prompt_tokens_details": {"cached_tokens": 2}} for n in (1, 2, 3)
    ]
    events: list[Any] = [delta(content="a"), delta(content="b"), delta(content="c")]
    if place == "every":
        events = [{**event, "usage": each} for event, each in zip(events, usage, strict=True)]
    events.append({**STOP, "usage": usage[2]} if place == "with finish" else STOP)
    if place == "last":
        events.append({"choices": [], "usage": usage[2]})
    reply = read(whole(ROLE, *events, DONE))
    expected = (None, None, None) if place == "never" else (5, 3, 2)
    assert (reply.prompt_tokens, reply.output_tokens, reply.cached_tokens) == expected
    assert len(reply.stamps) == 3


def test_finish_in_a_chunk_with_text_counts_both() -> None:
    reply = read(whole(ROLE, delta(content="a"), delta(content="b"), delta("length", content="c"), DONE))
    assert (len(reply.stamps), reply.finish) == (3, "length")


def test_frame_is_not_fooled_by_text_that_looks_like_it() -> None:
    nasty = [
        '"',
        "\\",
        '"content":"x',
        '"},"finish_reason":"stop"',
        "\n\n",
        "data: [DONE]",
        "é",
        "\u2028",
        "[DONE]",
        "\x00",
    ]
    reply = read(whole(ROLE, *(delta(content=text) for text in nasty), delta(content=""), STOP, DONE))
    assert (len(reply.stamps), reply.error, reply.finish) == (len(nasty), None, "stop")


def test_frame_is_learned_again_when_the_second_changes() -> None:
    events = [{**delta(content=str(n)), "created": n // 3} for n in range(12)]
    reply = read(HEAD, *(chunk(sse(event)) for event in events), chunk(sse(STOP)), b"0\r\n\r\n")
    assert list(reply.stamps) == list(range(2, 14))
    assert reply.tail is None  # over: nothing is armed any more


def test_short_way_is_armed_between_chunks_only() -> None:
    reply = Reply()
    reply.feed(HEAD + chunk(sse(delta(content="a"))), 1)
    assert reply.tail is None  # the first event may be the only one: nothing is learned of it
    reply.feed(chunk(sse(delta(content="a"))), 1)
    assert reply.tail is not None
    reply.feed(chunk(sse(delta(content="b")))[:-1], 2)
    assert reply.tail is None
    reply.feed(b"\n", 3)
    assert reply.tail is not None
    reply.feed(b": comment\n"[:0] + chunk(b"data: {"), 4)
    assert reply.tail is None


def test_several_lines_of_data_are_one_event() -> None:
    body = b'data: {"choices":[{"delta":\ndata: {"content":"a"},"finish_reason":"stop"}]}\n\n'
    reply = read(HEAD + chunk(body) + b"0\r\n\r\n")
    assert (len(reply.stamps), reply.error, reply.finish) == (1, None, "stop")


def test_error_event_in_the_middle_keeps_the_servers_words() -> None:
    reply = read(whole(ROLE, delta(content="a"), {"error": {"message": "out of blocks", "code": 500}}, DONE))
    assert (reply.error, len(reply.stamps)) == ("out of blocks", 1)


@pytest.mark.parametrize("event", [b"event: error\ndata: it broke\n\n", b'error: {"message":"it broke"}\n\n'])
def test_error_events_of_older_servers(event: bytes) -> None:
    assert "it broke" in str(read(HEAD + chunk(sse(ROLE)) + chunk(event) + b"0\r\n\r\n").error)


def test_broken_event_is_an_error_not_a_crash() -> None:
    reply = read(whole(ROLE, delta(content="a"), b'{"choices": [{', delta(content="b"), STOP, DONE))
    assert "not JSON" in str(reply.error)
    assert len(reply.stamps) == 2


@pytest.mark.parametrize(
    "document",
    [
        b"[]",
        b"3",
        b'"text"',
        b"null",
        b"{}",
        b'{"choices":[null]}',
        b'{"choices":[{}]}',
        b'{"choices":5}',
        b'{"choices":{"a":1}}',
        b'{"choices":true,"usage":[1]}',
        b'{"detail":[{"msg":1,"loc":2}],"error":[3]}',
    ],
)
def test_odd_documents_do_not_crash(document: bytes) -> None:
    assert read(whole(ROLE, document, STOP, DONE)).over
    for kind in (Reply, Kept):
        for status in (b"200 OK", b"422 Unprocessable Entity"):
            reply = kind()
            reply.feed(answer(json.loads(document), status), 1)
            assert reply.over
            assert reply.error


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["choices", "delta", "message", "content", "text", "usage", "error", "detail",
                                       "msg", "loc", "completion_tokens", "tool_calls"]), inner, max_size=4),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(documents=st.lists(JSON, min_size=1, max_size=3), kind=st.sampled_from([Reply, Kept]))
def test_no_document_at_all_raises(documents: list[Any], kind: type[Reply]) -> None:
    streamed, one = kind(), kind()
    streamed.feed(whole(*documents), 1)
    one.feed(answer(documents[0]), 1)
    assert streamed.over
    assert one.over


def test_no_done_is_fine() -> None:
    assert read(whole(ROLE, delta(content="a"), STOP)).error is None


def test_empty_stream_is_an_error() -> None:
    assert read(HEAD + b"0\r\n\r\n").error == "The stream ended without any content."


def test_an_answer_of_no_tokens_is_an_answer() -> None:
    assert read(whole(ROLE, STOP, DONE)).error is None


def test_closed_in_the_middle() -> None:
    reply = read(HEAD + chunk(sse(delta(content="a"))))
    reply.closed(9)
    assert reply.error == "The connection was closed in the middle of the answer."
    assert not reply.reusable


def test_body_that_ends_with_the_connection() -> None:
    reply = read(PLAIN + sse(ROLE), sse(delta(content="a")), sse(STOP), sse(DONE))
    assert not reply.over
    reply.closed(9)
    assert (reply.error, list(reply.stamps), reply.done, reply.reusable) == (None, [2], 9, False)


def test_body_that_ends_with_the_connection_too_soon() -> None:
    reply = read(PLAIN + sse(ROLE), sse(delta(content="a")))
    reply.closed(9)
    assert "before the stream said" in str(reply.error)


def test_stream_with_a_content_length() -> None:
    body = sse(ROLE) + sse(delta(content="a")) + sse(STOP)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(body)
    reply = read(head + body)
    assert (len(reply.stamps), reply.error, reply.over, reply.reusable) == (1, None, True, True)


def answer(document: Any, status: bytes = b"200 OK", kind: bytes = b"application/json") -> bytes:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (status, kind, len(body), body)


def test_whole_answer_of_a_server_that_does_not_stream() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 3}
    reply = read(answer({"choices": [{"message": {"content": "a b c"}, "finish_reason": "stop"}], "usage": usage}))
    assert (list(reply.stamps), reply.finish, reply.output_tokens, reply.error) == ([1], "stop", 3, None)


@pytest.mark.parametrize(
    ("document", "status", "words"),
    [
        ({"error": {"message": "slow down"}}, b"429 Too Many Requests", "HTTP 429: slow down"),
        ({"detail": "not ready"}, b"503 Service Unavailable", "HTTP 503: not ready"),
        ({"detail": [{"loc": ["body", "x"], "msg": "extra"}]}, b"422 Unprocessable Entity", "HTTP 422: body.x extra"),
        (b"<h1>Bad\n gateway</h1>", b"502 Bad Gateway", "HTTP 502: <h1>Bad gateway</h1>"),
        (b"", b"500 Internal Server Error", "HTTP 500: the server said nothing else"),
        ({"error": "no"}, b"200 OK", "no"),
    ],
)
def test_errors_in_the_servers_words(document: Any, status: bytes, words: str) -> None:
    reply = read(answer(document, status))
    assert reply.error == words
    assert reply.over
    assert not reply.stamps


def test_web_page_instead_of_a_stream() -> None:
    assert "neither a stream nor JSON" in str(read(answer(b"<html>hello</html>", kind=b"text/html")).error)


def test_redirect_names_the_address() -> None:
    reply = read(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://other/\r\nContent-Length: 0\r\n\r\n")
    assert "http://other/" in str(reply.error)
    assert reply.over


def test_compressed_answer_is_refused_in_words() -> None:
    head = HEAD[:-2] + b"Content-Encoding: gzip\r\n\r\n"
    assert "compressed" in str(read(head + b"0\r\n\r\n").error)


def test_interim_answers_are_passed_over() -> None:
    assert read(b"HTTP/1.1 100 Continue\r\n\r\n" + whole(delta(content="a"), STOP)).status == 200


@pytest.mark.parametrize(
    "data", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/2.0 200\r\n\r\n", b"HTTP/1.1 huh\r\n\r\n", b"\x16\x03\x01"]
)
def test_what_is_not_http(data: bytes) -> None:
    reply = read(data)
    assert reply.over
    assert reply.error


@pytest.mark.parametrize("bad", [b"zz\r\n", b"-5\r\nhello\r\n", b"3\r\nabcdef\r\n"])
def test_broken_chunked_coding(bad: bytes) -> None:
    reply = read(HEAD + bad)
    assert "chunked coding" in str(reply.error)
    assert not reply.reusable


def test_endless_headers_end() -> None:
    assert "headers are longer" in str(read(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000).error)


def test_ten_megabytes_in_one_event() -> None:
    data = whole(delta(content="x" * 10_000_000), STOP)
    reply = read(*(data[at : at + 65_536] for at in range(0, len(data), 65_536)))
    assert (len(reply.stamps), reply.error) == (1, None)


def test_rest_after_the_end_makes_the_connection_unusable() -> None:
    reply = read(whole(delta(content="a"), STOP) + b"HTTP/1.1 200 OK\r\n\r\n")
    assert reply.error is None
    assert not reply.reusable


def test_trailers_after_the_last_chunk() -> None:
    reply = read(whole(delta(content="a"), STOP)[:-2], b"X-Time: 3\r\n", b"\r\n")
    assert (reply.over, reply.reusable) == (True, True)


def test_http_1_0_connections_are_not_kept() -> None:
    data = answer({"choices": [{"message": {"content": "a"}}]}).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    assert not read(data).reusable


def test_text_is_handed_on_when_asked_for() -> None:
    heard: list[str] = []
    reply = Reply(on_text=lambda text, _: heard.append(text))
    reply.feed(whole(ROLE, delta(content="a"), delta(content='"b\n'), STOP), 1)
    assert heard == ["a", '"b\n']
    assert reply.tail is None


TEXT = st.text(max_size=12)
FIELDS = st.one_of(
    st.builds(lambda text: {"content": text}, TEXT),
    st.builds(lambda text: {"reasoning_content": text}, TEXT),
    st.just({"role": "assistant", "content": ""}),
    st.just({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}),
)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Any valid stream: every way of framing events that a server may choose."""
    newline = draw(st.sampled_from([b"\n", b"\r\n"]))
    compact = draw(st.booleans())
    body = b""
    events = [sse(delta(content="x"))]
    for fields in draw(st.lists(FIELDS, max_size=8)):
        document: dict[str, Any] = delta(**fields)
        if draw(st.booleans()):
            document["created"] = draw(st.integers(0, 3))
        if draw(st.integers(0, 5)) == 0:
            document["usage"] = {"prompt_tokens": 3, "completion_tokens": draw(st.integers(0, 9))}
        text = json.dumps(document, separators=(",", ":") if compact else None).encode()
        events.append(sse(text, newline, draw(st.sampled_from([b" ", b""]))))
        if draw(st.integers(0, 3)) == 0:
            events.append(draw(st.sampled_from([b": ping", b"id: 3", b"retry: 10", b""])) + newline)
    events.append(sse(STOP, newline))
    if draw(st.booleans()):
        events.append(sse(USAGE, newline))
    if draw(st.booleans()):
        events.append(sse(DONE, newline))
    if draw(st.booleans()):
        return HEAD + b"".join(chunk(event) for event in events) + b"0\r\n\r\n"
    body = b"".join(events)
    cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=4)))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    extension = draw(st.sampled_from([b"", b";a=1"]))
    return HEAD + b"".join(chunk(piece, extension) for piece in pieces if piece) + b"0\r\n\r\n"


@settings(max_examples=400, deadline=None)
@given(data=streams(), cuts=st.data())
def test_any_cut_of_a_valid_stream_gives_the_same_record(data: bytes, cuts: st.DataObject) -> None:
    expected = facts(read(data))
    assert expected[6:8] == (None, True)
    places = sorted(cuts.draw(st.lists(st.integers(0, len(data)), max_size=12)))
    pieces = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
    assert facts(read(*(piece for piece in pieces if piece))) == expected


@settings(max_examples=60, deadline=None)
@given(data=streams())
def test_byte_by_byte_gives_the_same_record(data: bytes) -> None:
    assert facts(read(*(data[at : at + 1] for at in range(len(data))))) == facts(read(data))


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=300), head=st.booleans())
def test_garbage_never_raises(data: bytes, head: bool) -> None:
    reply = read((HEAD if head else b"") + data)
    reply.closed(9)
    assert reply.over


def test_the_first_chunks_own_tokens_are_known_where_usage_goes_on() -> None:
    def counted(text: str, tokens: int) -> dict[str, Any]:
        return {**delta(content=text), "usage": {"prompt_tokens": 5, "completion_tokens": tokens}}

    role = {**ROLE, "usage": {"prompt_tokens": 5, "completion_tokens": 0}}
    reply = read(HEAD + chunk(sse(role)), chunk(sse(counted("abcd", 4))), chunk(sse(counted("e", 5))),
                 chunk(sse(counted("f", 6))), chunk(sse(STOP)), b"0\r\n\r\n")  # fmt: skip
    assert (reply.first_tokens, reply.output_tokens, list(reply.stamps)) == (4, 6, [2, 3, 4])
    record = RequestRecord(point=0, index=0, intended=0.0, status="ok", chunks=3, first_token=2.0, last_token=4.0,
                           output_tokens=reply.output_tokens, first_tokens=reply.first_tokens)  # fmt: skip
    assert record.tpot == 1.0  # two tokens in two ticks; 2 / (6 - 6 / 3) where the first chunk's were not known
    assert Columns.of_records([record]).tpot.tolist() == [1.0]
    unknown = replace(record, first_tokens=None)
    assert unknown.tpot == 0.5
    assert Columns.of_records([unknown]).tpot.tolist() == [0.5]
