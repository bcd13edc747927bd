"""What is tried of a server of the KServe family (Triton): its health, what it says of itself, how it generates.

Paths: the KServe v2 protocol and Triton's extensions of it (generate, statistics, model repository, model
configuration); field names of the language model are those of Triton's vLLM backend.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llm_magics.advice.probe import EXACT, UNKNOWN, Reply, Server, Tried, judged, loaded, metrics, short


def questions(server: Server) -> Iterator[Tried]:
    """Every question, answered one after another."""
    ask, model, page = server.ask, server.model, f"/v2/models/{server.model}"
    yield judged("health", f"GET {server.health}", ask(server.health), lambda _: True)
    yield judged("alive", "GET /v2/health/live", ask("/v2/health/live"), lambda _: True)
    about = ask("/v2")
    yield judged("server metadata", "GET /v2", about, lambda reply: reply.json["name"], _metadata(about))
    yield judged("model is ready", f"GET {page}/ready", ask(f"{page}/ready"), lambda _: True)
    inputs = ask(page)
    yield judged("model metadata", f"GET {page}", inputs, lambda reply: reply.json["name"] == model, _inputs(inputs))
    config = ask(f"{page}/config")
    yield judged("model configuration", f"GET {page}/config", config, lambda reply: reply.json["name"] == model,
                 f"backend {config.json.get('backend')}" if isinstance(config.json, dict) else "")  # fmt: skip
    yield judged("statistics", f"GET {page}/stats", ask(f"{page}/stats"), lambda reply: reply.json["model_stats"])
    index = ask("/v2/repository/index", {})
    yield judged("repository index", "POST /v2/repository/index", index,
                 lambda reply: model in [each["name"] for each in reply.json])  # fmt: skip
    said = {"text_input": "Hello", "max_tokens": 4, **server.body}
    yield judged("generate", f"POST {page}/generate", ask(f"{page}/generate", said),
                 lambda reply: isinstance(reply.json["text_output"], str))  # fmt: skip
    yield from _streamed(ask(f"{page}/generate_stream", {**said, "stream": True}), f"POST {page}/generate_stream")
    longer = ask(f"{page}/generate", {**said, **server.exact})
    count = _count(longer.json)
    fields = f"{', '.join(server.exact)} for {EXACT} tokens"
    yield Tried("exact length", fields, longer.status == 200 and count == EXACT,
                f"{count} tokens" if count is not None else short(longer))  # fmt: skip
    unknown = ask(f"{page}/generate", {**said, **UNKNOWN})
    yield Tried("unknown fields are taken", "no_such_field: 1", unknown.status == 200, short(unknown)[:60])
    yield metrics(server)
    chat = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
    yield judged("OpenAI's chat", "POST /v1/chat/completions", ask("/v1/chat/completions", chat),
                 lambda reply: reply.json["choices"])  # fmt: skip


def _metadata(reply: Reply) -> str:
    said = reply.json if isinstance(reply.json, dict) else {}
    return f"{said.get('name')} {said.get('version')}, {len(said.get('extensions') or ())} extensions"


def _inputs(reply: Reply) -> str:
    said = reply.json if isinstance(reply.json, dict) else {}
    names = [str(each.get("name")) for each in said.get("inputs") or () if isinstance(each, dict)]
    return f"platform {said.get('platform')}; inputs {', '.join(names)}"[:100]


def _streamed(reply: Reply, request: str) -> Iterator[Tried]:
    events = [event for event in reply.events if event != "[DONE]"]
    chunks = [chunk for event in events if isinstance(chunk := loaded(event), dict)]
    text = [chunk for chunk in chunks if isinstance(chunk.get("text_output"), str)]
    found = bool(text) and reply.status == 200
    yield Tried("generate, streamed", request, found, f"{len(text)} events with text" if text else short(reply))
    counts = [count for chunk in chunks if (count := _count(chunk)) is not None]
    told = f"num_output_tokens, together {sum(counts)}" if counts else "no event has num_output_tokens"
    yield Tried("streamed counts when asked", "return_num_output_tokens: true", bool(counts), told)
    yield Tried("stream ends with [DONE]", request, reply.events[-1:] == ["[DONE]"], "")


def _count(said: Any) -> int | None:
    found = said.get("num_output_tokens") if isinstance(said, dict) else None
    found = found[0] if isinstance(found, list) and found else found
    return found if isinstance(found, int) else None
