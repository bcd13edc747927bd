"""What a running server really answers: endpoints tried one after another, not believed from a list.

Small requests of a few tokens each. An endpoint counts as there when it gives the answer it exists for; a status alone
proves nothing (llama.cpp answers 200 to some nonsense, SGLang to unknown model names).
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

_TIMEOUT = 60.0  # s; a busy CPU server needs some for four tokens
_MOST = 1 << 20  # bytes read of an answer
_SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Tried:
    """One thing that was tried: `works` None where it could not be told; `detail` what came back."""

    what: str
    request: str
    works: bool | None
    detail: str


@dataclass(frozen=True)
class Reply:
    """An answer: HTTP status (0: none came), body as text, content type."""

    status: int
    text: str
    kind: str = ""

    @property
    def json(self) -> Any:
        """The body as JSON; None when it is none."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None

    @property
    def events(self) -> list[str]:
        """What stands behind `data:` in a stream."""
        return [line[5:].strip() for line in self.text.splitlines() if line.startswith("data:")]


def probe(
    url: str, model: str, key: str | None = None, *, on_tried: Callable[[Tried], None] | None = None
) -> list[Tried]:
    """Try every endpoint of a server.

    Parameters
    ----------
    url
        Base address, without `/v1`.
    model
        The name to put in `model`.
    key
        Its API key.
    on_tried
        Called as each is done.
    """
    found = []
    for tried in _all(url.rstrip("/"), model, key):
        found.append(tried)
        if on_tried:
            on_tried(tried)
    return found


def _all(url: str, model: str, key: str | None) -> Iterator[Tried]:
    def ask(path: str, body: dict[str, Any] | None = None, *, secret: str | None = key) -> Reply:
        return _asked(url + path, body, secret)

    words = [{"role": "user", "content": "Say hello."}]
    chat: dict[str, Any] = {"model": model, "messages": words, "max_tokens": 4}
    yield _of("health", "GET /health", ask("/health"), lambda reply: reply.status == 200)
    yield _of("models", "GET /v1/models", ask("/v1/models"),
              lambda reply: model in [each.get("id") for each in (reply.json or {}).get("data", [])])  # fmt: skip
    if key:
        barred = ask("/v1/models", secret=None)
        answer = ask("/v1/chat/completions", chat, secret=None)
        yield Tried("key is demanded", "POST /v1/chat/completions without it", answer.status in (401, 403),
                    f"{answer.status}; the list of models: {barred.status}")  # fmt: skip
    yield _of("chat", "POST /v1/chat/completions", ask("/v1/chat/completions", chat), _choice)
    yield from _streamed(ask("/v1/chat/completions", {**chat, "stream": True}), asked=False)
    yield from _streamed(
        ask("/v1/chat/completions", {**chat, "stream": True, "stream_options": {"include_usage": True}}), asked=True
    )
    completion = {"model": model, "prompt": "Hello", "max_tokens": 4}
    yield _of("completions", "POST /v1/completions", ask("/v1/completions", completion), _choice)
    response = {"model": model, "input": "Hello", "max_output_tokens": 16}
    yield _of("responses", "POST /v1/responses", ask("/v1/responses", response),
              lambda reply: bool((reply.json or {}).get("output")))  # fmt: skip
    yield _of("messages (Anthropic)", "POST /v1/messages", ask("/v1/messages", chat),
              lambda reply: bool((reply.json or {}).get("content")))  # fmt: skip
    yield _of("embeddings", "POST /v1/embeddings", ask("/v1/embeddings", {"model": model, "input": "Hello"}),
              lambda reply: bool((reply.json or {}).get("data")))  # fmt: skip
    yield _of("tokenize", "POST /tokenize", ask("/tokenize", {"model": model, "prompt": "Hello", "content": "Hello"}),
              lambda reply: bool((reply.json or {}).get("tokens")))  # fmt: skip
    yield _of("metrics", "GET /metrics", ask("/metrics"), lambda reply: "# TYPE" in reply.text)
    schema = {"type": "json_schema", "json_schema": {"name": "answer", "schema": _SCHEMA, "strict": True}}
    yield _schema(ask("/v1/chat/completions", {**chat, "max_tokens": 64, "response_format": schema}))
    longer = ask("/v1/chat/completions", {**chat, "ignore_eos": True, "min_tokens": 24, "max_tokens": 24})
    count = ((longer.json or {}).get("usage") or {}).get("completion_tokens")
    yield Tried("exact length", "ignore_eos, min_tokens, max_tokens: 24", longer.status == 200 and count == 24,
                f"{count} tokens" if count is not None else _short(longer))  # fmt: skip
    unknown = ask("/v1/chat/completions", {**chat, "no_such_field": 1})
    yield Tried("unknown fields are taken", "no_such_field: 1", unknown.status == 200, _short(unknown))


def _of(what: str, request: str, reply: Reply, good: Callable[[Reply], bool]) -> Tried:
    try:
        works = reply.status == 200 and good(reply)
    except (AttributeError, TypeError, KeyError, IndexError):
        works = False  # JSON, but not of the shape that this endpoint exists for
    return Tried(what, request, works, str(reply.status) if works else _short(reply))


def _choice(reply: Reply) -> bool:
    first = (reply.json or {})["choices"][0]
    return bool(first.get("text") or (first.get("message") or {}).get("content") or first.get("finish_reason"))


def _streamed(reply: Reply, *, asked: bool) -> Iterator[Tried]:
    events = reply.events
    chunks = [chunk for event in events if event != "[DONE]" and isinstance(chunk := _loaded(event), dict)]
    usage = any(chunk.get("usage") for chunk in chunks)
    if asked:
        yield Tried("streamed usage when asked", "stream_options: {include_usage: true}", bool(chunks) and usage,
                    f"{len(chunks)} chunks" if chunks else _short(reply))  # fmt: skip
        return
    deltas = [choice.get("delta") or {} for chunk in chunks for choice in chunk.get("choices", ())]
    content = sum(bool(delta.get("content")) for delta in deltas)
    yield Tried(
        "chat, streamed", "stream: true", content > 0, f"{content} chunks with text" if chunks else _short(reply)
    )
    yield Tried(
        "stream ends with [DONE]",
        "stream: true",
        bool(events) and events[-1] == "[DONE]",
        "" if events else _short(reply),
    )
    if usage:
        yield Tried("usage unasked", "stream: true", True, "always on the last chunk")


def _schema(reply: Reply) -> Tried:
    request = "response_format: json_schema"
    try:
        said = (reply.json or {})["choices"][0]["message"]["content"]
    except (AttributeError, TypeError, KeyError, IndexError):
        return Tried("JSON schema", request, False, _short(reply))
    # A small model may write blanks until it is cut off; what it wrote before them is still of the schema or not.
    found = _loaded(said or "") or _loaded((said or "").rstrip() + "}")
    held = isinstance(found, dict) and isinstance(found.get("ok"), bool) and len(found) == 1
    return Tried(
        "JSON schema", request, held, f"answered {' '.join(said.split())[:60]!r}" if said else "an empty answer"
    )


def _asked(url: str, body: dict[str, Any] | None, key: str | None) -> Reply:
    """One request to a server of ours or one that a person named; an error's body is an answer too."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers)  # noqa: S310 - http(s), as `api` checked
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_TIMEOUT) as answer:
            return Reply(
                answer.status, answer.read(_MOST).decode("utf-8", "replace"), answer.headers.get_content_type()
            )
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, error.read(_MOST).decode("utf-8", "replace"), error.headers.get_content_type())
    except (OSError, ValueError) as error:
        return Reply(0, str(getattr(error, "reason", error)))


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _short(reply: Reply) -> str:
    said = reply.json
    if isinstance(said, dict):
        error = said.get("error") or said.get("detail") or said.get("message") or ""
        text = error.get("message", "") if isinstance(error, dict) else str(error)
    else:
        text = "" if "html" in reply.kind else reply.text
    words = " ".join(text.split())[:100]
    return f"{reply.status or 'no answer'}{f': {words}' if words else ''}"
