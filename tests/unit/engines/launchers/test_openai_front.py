"""The front that DeepSpeed is served by, over HTTP, with generation scripted."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

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
    batches = SimpleNamespace(submit=submit, tokenizer=Words(), metrics=lambda: counts)
    server = Front(("127.0.0.1", 0), batches, name="m", prefix="test", context=20, key=KEY)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield SimpleNamespace(port=server.server_port, asked=asked)
    server.shutdown()
    thread.join()
    server.server_close()


def ask(front: Any, path: str, body: Any = None, key: str | None = KEY) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=10)
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
    assert one.gone.wait(5), "nobody listens any more"


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v1/completions", {**PLAIN, "max_tokens": 18}, 400, "maximum context length is 20"),
        ("/v1/completions", {**PLAIN, "max_tokens": 0}, 400, "maximum context length"),
        ("/v1/completions", {**PLAIN, "max_tokens": "5"}, 400, "max_tokens must be a number"),
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
