"""The front that DeepSpeed is served by, over HTTP, with generation scripted."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

KEY = "secret"


class Words:
    """A tokenizer of words."""

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": list(range(len(text.split())))}

    def apply_chat_template(self, messages: list[Any], tokenize: bool, add_generation_prompt: bool) -> str:
        if messages[0].get("role") != "user":
            raise ValueError("only users may speak")
        return "<s> " + messages[0]["content"]


@pytest.fixture
def front() -> Iterator[Any]:
    from generation import Piece
    from openai_front import Front

    asked: list[Any] = []

    def submit(ask: Any) -> None:
        asked.append(ask)
        if ask.max_tokens == 13:
            ask.out.put(Piece("", 0, error="the GPU is gone"))
            return
        ask.out.put(Piece("Hello", 2))
        ask.out.put(Piece(" <b>", 1, "length"))

    counts = {"requests_running": 1, "requests_waiting": 2, "prompt_tokens_total": 3, "generation_tokens_total": 4}
    batches = SimpleNamespace(submit=submit, tokenizer=Words(), metrics=lambda: counts, vocabulary=100)
    server = Front(("127.0.0.1", 0), batches, name="m", prefix="test", context=20, key=KEY)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield SimpleNamespace(port=server.server_port, asked=asked)
    server.shutdown()
    thread.join()
    server.server_close()


def ask(front: Any, path: str, body: Any = None, key: str | None = KEY) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=60)
    data = body if body is None or isinstance(body, bytes) else json.dumps(body)
    connection.request("GET" if body is None else "POST", path, data, {"Authorization": f"Bearer {key}"} if key else {})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


CHAT = {"model": "m", "messages": [{"role": "user", "content": "a b"}], "max_tokens": 3}
PLAIN = {"prompt": "a b c", "max_tokens": 3}


def test_a_chat_in_one_piece(front: Any) -> None:
    status, text = ask(front, "/v1/chat/completions", CHAT)
    said = json.loads(text)
    assert status == 200
    assert said["choices"][0]["message"] == {"role": "assistant", "content": "Hello <b>"}
    assert said["choices"][0]["finish_reason"] == "length"
    assert said["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}


@pytest.mark.parametrize("usage", [True, False])
def test_a_stream_has_a_role_first_usage_when_asked_and_done(front: Any, usage: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if usage else {}
    _, text = ask(front, "/v1/chat/completions", {**CHAT, "stream": True, **options})
    events = [line[6:] for line in text.split("\n") if line]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert deltas == [{"role": "assistant", "content": ""}, {"content": "Hello"}, {"content": " <b>"}]
    assert [chunk["usage"]["completion_tokens"] for chunk in chunks if "usage" in chunk] == ([3] if usage else [])


def test_plain_completions_and_what_is_handed_on(front: Any) -> None:
    fields = {"temperature": 0, "min_tokens": 9, "ignore_eos": True, "stop": "x", "seed": 4, "top_p": 0.5}
    status, text = ask(front, "/v1/completions", {**PLAIN, **fields})
    assert (status, json.loads(text)["choices"][0]["text"]) == (200, "Hello <b>")
    one = front.asked[0]
    assert (one.max_tokens, one.min_tokens, one.temperature, one.ignore_eos) == (3, 3, 0, True)
    assert (one.stop, one.seed, one.top_p) == (["x"], 4, 0.5)
    assert one.gone.wait(60), "nobody listens any more"


def test_sampling_and_ids_are_handed_on_too(front: Any) -> None:
    fields = {
        "top_k": 5, "min_p": 0.1, "presence_penalty": 1, "frequency_penalty": -1, "repetition_penalty": 1.2,
        "logit_bias": {"7": -100}, "stop_token_ids": [3], "seed": -1,
    }  # fmt: skip
    status, _ = ask(front, "/v1/completions", {**PLAIN, **fields, "prompt": [1, 99]})
    one = front.asked[0]
    assert (status, one.ids, one.stop_ids, one.bias) == (200, [1, 99], {3}, {7: -100.0})
    assert (one.top_k, one.min_p, one.presence, one.frequency, one.repetition) == (5, 0.1, 1.0, -1.0, 1.2)
    assert one.seed == 2**63 - 1, "a seed that torch takes"


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 1, "logprobs": None, "tools": [], "tool_choice": "auto", "response_format": {"type": "text"}},
        {"user": "me", "top_k": -1, "logit_bias": {}, "stop": [], "stop_token_ids": [], "best_of": 1, "echo": False},
    ],
)
def test_fields_that_ask_for_nothing_are_no_reason_to_refuse(front: Any, fields: dict[str, Any]) -> None:
    assert ask(front, "/v1/completions", {**PLAIN, **fields})[0] == 200


FIELDS = [
    "model", "messages", "prompt", "max_tokens", "max_completion_tokens", "min_tokens", "temperature", "top_p", "top_k",
    "min_p", "seed", "stop", "stop_token_ids", "logit_bias", "n", "stream", "stream_options", "ignore_eos", "tools",
    "response_format", "presence_penalty", "repetition_penalty", "chat_template_kwargs", "logprobs",
]  # fmt: skip
NUMBERS = st.one_of(
    st.integers(), st.floats(), st.booleans(), st.sampled_from([0, -1, 1e999, -1e999, float("nan"), 10**400, 2**63])
)
VALUES = st.recursive(
    st.one_of(st.none(), NUMBERS, st.text(), st.sampled_from(["m", "a b", "\ud800"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=6,
)
BODIES = st.one_of(
    st.dictionaries(st.one_of(st.sampled_from(FIELDS), st.text()), VALUES, max_size=6),
    st.builds(lambda good, bad: {**good, **bad}, st.sampled_from([CHAT, PLAIN]),
              st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=3)),
)  # fmt: skip
PATHS = st.sampled_from(["/v1/chat/completions", "/v1/completions", "/tokenize", "/v1/models"])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PATHS, st.one_of(BODIES.map(lambda body: json.dumps(body).encode()), st.binary(max_size=60)))
def test_no_body_makes_it_fail_or_wait(front: Any, path: str, body: bytes) -> None:
    """A traceback would close the connection without an answer; a hang would time out; 500 would be its own error."""
    status, text = ask(front, path, body)
    assert status in (200, 400, 404) or (status == 500 and "the GPU is gone" in text)
    if status != 200:
        assert json.loads(text)["error"]["message"]
    for one in front.asked:
        assert 1 <= one.max_tokens <= 20 - len(one.ids)
        assert all(0 <= each < 100 for each in one.ids)
        assert one.temperature >= 0
        assert 0 <= one.top_p <= 1
    front.asked.clear()


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v1/completions", {**PLAIN, "max_tokens": 18}, 400, "maximum context length is 20"),
        ("/v1/completions", {**PLAIN, "max_tokens": 0}, 400, "maximum context length"),
        ("/v1/completions", {**PLAIN, "max_tokens": "5"}, 400, "max_tokens must be a whole number"),
        ("/v1/completions", {**PLAIN, "max_tokens": 2.5}, 400, "max_tokens must be a whole number"),
        ("/v1/completions", {**PLAIN, "max_tokens": -1}, 400, "maximum context length"),
        ("/v1/completions", {**PLAIN, "max_tokens": True}, 400, "max_tokens must be a whole number"),
        ("/v1/completions", b'{"prompt": "a", "max_tokens": 1e999}', 400, "max_tokens must be a whole number"),
        ("/v1/completions", b'{"prompt": "a", "max_tokens": NaN}', 400, "max_tokens must be a whole number"),
        ("/v1/completions", b'{"prompt": "a", "max_tokens": 1' + b"0" * 400 + b"}", 400, "max_tokens must be from"),
        ("/v1/completions", b'{"prompt": "a", "max_tokens": 1' + b"0" * 5000 + b"}", 400, "not JSON"),
        ("/v1/completions", b'{"prompt": "a", "temperature": Infinity}', 400, "temperature must be a number"),
        ("/v1/completions", {**PLAIN, "temperature": -1}, 400, "temperature must be from 0"),
        ("/v1/completions", {**PLAIN, "top_p": 1.5}, 400, "top_p must be from 0 to 1"),
        ("/v1/completions", {**PLAIN, "top_k": "all"}, 400, "top_k must be a whole number"),
        ("/v1/completions", {**PLAIN, "seed": []}, 400, "seed must be a whole number"),
        ("/v1/completions", {**PLAIN, "stop": [1]}, 400, "stop must be a text"),
        ("/v1/completions", {**PLAIN, "ignore_eos": "no"}, 400, "ignore_eos must be true or false"),
        ("/v1/completions", {**PLAIN, "prompt": [1, 100]}, 400, "100 is no token; the vocabulary ends at 99"),
        ("/v1/completions", {**PLAIN, "prompt": [1, -1]}, 400, "-1 is no token"),
        ("/v1/completions", {**PLAIN, "prompt": [1, True]}, 400, "list of token numbers"),
        ("/v1/completions", {**PLAIN, "prompt": ["a", "b"]}, 400, "one text, or one list"),
        ("/v1/completions", {**PLAIN, "logit_bias": {"100": 1}}, 400, "100 is no token"),
        ("/v1/completions", {**PLAIN, "logit_bias": {"x": 1}}, 400, "'x' is no token number"),
        ("/v1/completions", {**PLAIN, "logit_bias": {"1": 101}}, 400, "logit_bias must be from -100 to 100"),
        ("/v1/completions", {**PLAIN, "logprobs": 3}, 400, "logprobs is not supported"),
        ("/v1/completions", {**PLAIN, "guided_json": {}}, 400, "guided_json is not supported"),
        ("/v1/completions", {**PLAIN, "tempretaure": 1}, 400, "'tempretaure' is not a field"),
        ("/v1/completions", {**PLAIN, "stream_options": 1}, 400, "stream_options must be an object"),
        ("/v1/completions", b"[" * 200_000, 400, "not JSON"),
        ("/v1/completions", b"\xff\xfe{", 400, "not JSON"),
        ("/v1/chat/completions", {**CHAT, "response_format": {"type": "json_object"}}, 400, "response_format is not"),
        ("/v1/chat/completions", {**CHAT, "messages": ["hello"]}, 400, "no list of objects"),
        ("/v1/chat/completions", {**CHAT, "messages": [{"role": "user", "content": 7}]}, 400, "refuses the messages"),
        ("/tokenize", {"prompt": 5}, 400, "prompt must be a text"),
        ("/v1/completions", {**PLAIN, "n": 2}, 400, "n is not supported"),
        ("/v1/completions", {**PLAIN, "model": "other"}, 404, "'other' does not exist"),
        ("/v1/completions", {**PLAIN, "max_tokens": 13}, 500, "the GPU is gone"),
        ("/v1/completions", {**PLAIN, "max_tokens": 13, "stream": True}, 500, "the GPU is gone"),
        ("/v1/completions", {"max_tokens": 3}, 400, "prompt must be"),
        ("/v1/completions", b"{", 400, "not JSON"),
        ("/v1/completions", b"[]", 400, "no JSON object"),
        ("/v1/chat/completions", {"messages": []}, 400, "messages is missing"),
        ("/v1/chat/completions", {"messages": [{"role": "system"}]}, 400, "only users may speak"),
        ("/v1/chat/completions", {**CHAT, "tools": [{}]}, 400, "tools is not supported"),
        ("/v1/nothing", {}, 404, "no /v1/nothing"),
        ("/nothing", None, 404, "no /nothing"),
    ],
)
def test_what_cannot_be_done_is_said_as_openai_says_it(
    front: Any, path: str, body: Any, status: int, words: str
) -> None:
    found, text = ask(front, path, body)
    assert found == status
    assert words in json.loads(text)["error"]["message"]


def test_the_key_guards_the_api_and_not_health_and_metrics(front: Any) -> None:
    for key in (None, "wrong", "sécret"):
        if key is None or key.isascii():
            assert ask(front, "/v1/completions", PLAIN, key)[0] == 401
            assert ask(front, "/v1/models", None, key)[0] == 401
    assert ask(front, "/health", None, None)[0] == 200
    status, page = ask(front, "/metrics", None, None)
    assert status == 200
    assert "# TYPE test:requests_running gauge\ntest:requests_running 1\n" in page
    assert "# TYPE test:prompt_tokens_total counter\ntest:prompt_tokens_total 3\n" in page
    assert json.loads(ask(front, "/v1/models")[1])["data"][0]["id"] == "m"
