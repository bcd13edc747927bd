"""What is tried of a server that speaks OpenAI's API, and which of its relatives it speaks too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llm_magics.advice.probe import EXACT, UNKNOWN, Reply, Server, Tried, judged, loaded, metrics, short

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
_SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}


def questions(server: Server) -> Iterator[Tried]:
    """Every question, answered one after another."""
    ask, model = server.ask, server.model
    chat: dict[str, Any] = {
        "model": model, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4,
    }  # fmt: skip
    yield judged("health", f"GET {server.health}", ask(server.health), lambda _: True)
    yield judged("models", "GET /v1/models", ask("/v1/models"), lambda reply: model in named(reply))
    if server.key:
        barred = ask("/v1/models", secret=False)
        answer = ask(CHAT, chat, secret=False)
        yield Tried("key is demanded", f"POST {CHAT} without it", answer.status in (401, 403),
                    f"{answer.status}; the list of models: {barred.status}")  # fmt: skip
    yield judged("chat", f"POST {CHAT}", ask(CHAT, chat), _choice)
    yield from _streamed(ask(CHAT, {**chat, "stream": True}), asked=False)
    yield from _streamed(ask(CHAT, {**chat, "stream": True, "stream_options": {"include_usage": True}}), asked=True)
    completion = {"model": model, "prompt": "Hello", "max_tokens": 4}
    yield judged("completions", f"POST {COMPLETIONS}", ask(COMPLETIONS, completion), _choice)
    yield from _relatives(server, chat)
    yield judged("embeddings", "POST /v1/embeddings", ask("/v1/embeddings", {"model": model, "input": "Hello"}),
                 lambda reply: reply.json["data"])  # fmt: skip
    # Each engine's own word for the text; those that refuse fields they do not know have no such page.
    text = {"model": model, "prompt": "Hello", "content": "Hello", "inputs": "Hello"}
    yield judged("tokenize", f"POST {server.tokenize}", ask(server.tokenize, text), _tokens)
    yield metrics(server)
    schema = {"type": "json_schema", "json_schema": {"name": "answer", "schema": _SCHEMA, "strict": True}}
    yield _schema(ask(CHAT, {**chat, "max_tokens": 64, "response_format": schema}))
    longer = ask(CHAT, {**chat, **server.exact})
    count = _usage(longer)
    fields = f"{', '.join(server.exact)} for {EXACT} tokens"
    yield Tried("exact length", fields, longer.status == 200 and count == EXACT,
                f"{count} tokens" if count is not None else short(longer))  # fmt: skip
    unknown = ask(CHAT, {**chat, **UNKNOWN})
    yield Tried("unknown fields are taken", "no_such_field: 1", unknown.status == 200, short(unknown))


def named(reply: Reply) -> list[str]:
    """The models that `/v1/models` lists."""
    return [str(each.get("id")) for each in (reply.json or {}).get("data", [])]


def _relatives(server: Server, chat: dict[str, Any]) -> Iterator[Tried]:
    """Newer and neighbouring APIs: OpenAI's responses, Anthropic's messages, Ollama's own."""
    ask, model = server.ask, server.model
    response = {"model": model, "input": "Hello", "max_output_tokens": 16}
    yield judged("responses", "POST /v1/responses", ask("/v1/responses", response), lambda reply: reply.json["output"])
    yield judged("messages (Anthropic)", "POST /v1/messages", ask("/v1/messages", chat),
                 lambda reply: reply.json["content"])  # fmt: skip
    version = ask("/api/version")
    if version.status != 200:  # its other pages are tried where there is this one
        yield judged("Ollama's API", "GET /api/version", version, lambda _: False)
        return
    number = version.json.get("version") if isinstance(version.json, dict) else ""
    yield judged("Ollama's API", "GET /api/version", version, lambda _: number, f"version {number}")
    tags = ask("/api/tags")
    yield judged("Ollama's list", "GET /api/tags", tags, lambda reply: model.removesuffix(":latest") in {
        str(each.get("name") or each.get("model")).removesuffix(":latest") for each in reply.json["models"]
    })  # fmt: skip
    said = {"model": model, "messages": chat["messages"], "stream": False, "options": {"num_predict": 4}}
    yield judged("Ollama's chat", "POST /api/chat", ask("/api/chat", said),
                 lambda reply: isinstance(reply.json["message"]["content"], str) and reply.json["done"])  # fmt: skip


def _choice(reply: Reply) -> bool:
    first = reply.json["choices"][0]
    return bool(first.get("text") or (first.get("message") or {}).get("content") or first.get("finish_reason"))


def _tokens(reply: Reply) -> Any:
    """vLLM, SGLang and llama.cpp: `tokens`; TGI: the list itself."""
    return reply.json if isinstance(reply.json, list) else reply.json["tokens"]


def _usage(reply: Reply) -> int | None:
    said = reply.json.get("usage") if isinstance(reply.json, dict) else None
    return said.get("completion_tokens") if isinstance(said, dict) else None


def _streamed(reply: Reply, *, asked: bool) -> Iterator[Tried]:
    events = reply.events
    chunks = [chunk for event in events if event != "[DONE]" and isinstance(chunk := loaded(event), dict)]
    usage = any(chunk.get("usage") for chunk in chunks)
    if asked:
        yield Tried("streamed usage when asked", "stream_options: {include_usage: true}", bool(chunks) and usage,
                    f"{len(chunks)} chunks" if chunks else short(reply))  # fmt: skip
        return
    deltas = [choice.get("delta") or {} for chunk in chunks for choice in chunk.get("choices", ())]
    content = sum(bool(delta.get("content")) for delta in deltas)
    text = f"{content} chunks with text" if chunks else short(reply)
    yield Tried("chat, streamed", "stream: true", content > 0, text)
    ended = bool(events) and events[-1] == "[DONE]"
    yield Tried("stream ends with [DONE]", "stream: true", ended, "" if events else short(reply))
    if usage:
        yield Tried("usage unasked", "stream: true", True, "always on the last chunk")


def _schema(reply: Reply) -> Tried:
    request = "response_format: json_schema"
    try:
        said = reply.json["choices"][0]["message"]["content"]
    except (AttributeError, TypeError, KeyError, IndexError):
        return Tried("JSON schema", request, False, short(reply))
    # A small model may write blanks until it is cut off; what it wrote before them is still of the schema or not.
    found = loaded(said or "") or loaded((said or "").rstrip() + "}")
    held = isinstance(found, dict) and isinstance(found.get("ok"), bool) and len(found) == 1
    shown = f"answered {' '.join(said.split())[:60]!r}" if said else "an empty answer"
    return Tried("JSON schema", request, held, shown)
