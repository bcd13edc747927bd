"""Triton's own API: what is asked, and what is a token in its answers."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_magics.load.datasets import recipe
from llm_magics.load.endpoint import Endpoint
from llm_magics.load.probing import question
from llm_magics.load.prompts import Recipe
from llm_magics.load.protocol import KSERVE, OPENAI, PROTOCOLS, Generated
from llm_magics.spec.workload import Workload

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"


def event(text: str, tokens: Any = 1, finish: str = "None", **more: Any) -> bytes:
    """As Triton writes it: fields in the order of the alphabet."""
    document = {
        "finish_reason": finish, "model_name": "m", "num_input_tokens": 7, "num_output_tokens": tokens,
        "text_output": text, **more,
    }  # fmt: skip
    data = b"data: " + json.dumps(document).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


def read(*pieces: bytes) -> Generated:
    reply = Generated()
    for tick, piece in enumerate(pieces, 1):
        reply.feed(piece, tick)
    return reply


def test_tokens_are_summed_as_the_backend_counts_them() -> None:
    reply = read(HEAD, event("a"), event(" b c", 2), event("", 1), event("d", [3], "length"), b"0\r\n\r\n")
    assert reply.over
    assert reply.error is None
    assert list(reply.stamps) == [2, 3, 5], "an event without text is no chunk, and its tokens count"
    assert reply.output_tokens == 7
    assert reply.prompt_tokens == 7
    assert reply.finish == "length"
    assert reply.reusable


def test_a_finish_that_python_calls_none_is_none() -> None:
    assert read(HEAD, event("a")).finish is None


def test_every_cut_of_the_network_reads_the_same() -> None:
    whole = HEAD + event("a") + event("b", 1, "stop") + b"0\r\n\r\n"
    for cut in range(1, len(whole)):
        reply = read(whole[:cut], whole[cut:])
        assert (len(reply.stamps), reply.output_tokens, reply.finish, reply.over) == (2, 2, "stop", True)


EVENTS = st.lists(st.tuples(st.text(max_size=8), st.integers(0, 4) | st.none()), min_size=1, max_size=6)


@settings(max_examples=150, deadline=None)
@given(said=EVENTS, cuts=st.data())
def test_any_cut_of_a_valid_stream_gives_the_same_record(
    said: list[tuple[str, int | None]], cuts: st.DataObject
) -> None:
    def facts(reply: Generated) -> tuple[object, ...]:
        return (
            len(reply.stamps), reply.output_tokens, reply.prompt_tokens, reply.finish, reply.error, reply.over,
            reply.reusable,
        )  # fmt: skip

    data = HEAD + b"".join(event(text, tokens) for text, tokens in said) + event("z", 1, "stop") + b"0\r\n\r\n"
    places = sorted(cuts.draw(st.lists(st.integers(0, len(data)), max_size=12)))
    pieces = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
    expected = 1 + sum(bool(text) for text, _ in said), 1 + sum(tokens or 0 for _, tokens in said), 7, "stop"
    assert facts(read(data)) == (*expected, None, True, True)
    assert facts(read(*(piece for piece in pieces if piece))) == (*expected, None, True, True)


def test_an_error_in_the_stream_and_an_error_page_are_in_the_servers_words() -> None:
    said = b'data: {"error":"the context is 2048 tokens"}\n\n'
    for head in (HEAD, HEAD.replace(b"200 OK", b"400 Bad Request")):
        reply = read(head, b"%x\r\n%s\r\n" % (len(said), said), b"0\r\n\r\n")
        assert reply.error
        assert "the context is 2048 tokens" in reply.error


def test_an_answer_in_one_piece_counts_too() -> None:
    body = orjson.dumps({"text_output": "hello", "num_input_tokens": 3, "num_output_tokens": 2})
    reply = read(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    assert (len(reply.stamps), reply.prompt_tokens, reply.output_tokens, reply.error) == (1, 3, 2, None)


def test_text_is_shown_as_it_comes() -> None:
    pieces: list[str] = []
    reply = Generated(on_text=lambda text, _: pieces.append(text))
    for piece in (HEAD, event("a"), event("b", 1, "stop"), b"0\r\n\r\n"):
        reply.feed(piece, 1)
    assert pieces == ["a", "b"]


def test_a_request_names_no_model_and_holds_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = Endpoint("http://h:1", "m", body={"return_num_output_tokens": True}, protocol=KSERVE)
    from llm_magics.load import datasets
    from llm_magics.load.words import Words

    monkeypatch.setattr(
        datasets, "find_words", lambda *_, **__: Words(["a", "b"], ["a", "b"], 0, exact=True, how="usage")
    )
    made, notes = recipe(endpoint, Workload(input_tokens=4, output_tokens=3, requests=1), 1)
    sent = Recipe(made, b"", 1).request(0, 0)
    payload, asked = sent.payload, sent.asked
    body = json.loads(payload.partition(b"\r\n\r\n")[2])
    assert asked == 3
    assert set(body) >= {"text_input", "stream", "max_tokens", "return_num_output_tokens"}
    assert not {"model", "messages", "prompt"} & set(body)
    assert "no chat" in notes["note"]


def test_a_question_is_said_in_each_api() -> None:
    openai = Endpoint("http://h:1", "m")
    assert question(openai, "x", 1)["messages"][0]["content"] == "x"
    assert question(openai, "x", 1, chat=False)["prompt"] == "x"
    assert question(Endpoint("http://h:1", "m", protocol=KSERVE), "x", 1)["text_input"] == "x"


def test_paths() -> None:
    assert OPENAI.path("m", chat=True) == OPENAI.path("m", chat=True, stream=False) == "/v1/chat/completions"
    assert OPENAI.path("m", chat=False) == "/v1/completions"
    assert KSERVE.path("m", chat=True) == KSERVE.path("m", chat=False) == "/v2/models/m/generate_stream"
    assert KSERVE.path("m", chat=True, stream=False) == "/v2/models/m/generate"
    assert set(PROTOCOLS) == {"openai", "kserve"}


@pytest.mark.parametrize(
    ("protocol", "document", "tokens"),
    [
        (OPENAI, {"usage": {"prompt_tokens": 4}}, 4), (OPENAI, {"num_input_tokens": 4}, None), (OPENAI, None, None),
        (KSERVE, {"num_input_tokens": 4}, 4), (KSERVE, {"usage": {"prompt_tokens": 4}}, None), (KSERVE, [], None),
    ],
)  # fmt: skip
def test_prompt_tokens(protocol: Any, document: Any, tokens: int | None) -> None:
    assert protocol.prompt_tokens(document) == tokens
