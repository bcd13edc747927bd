"""Servers that speak OpenAI's API as each engine really does, with all that its dialect does differently.

From the engines' sources: TGI router/src/server.rs and chat.rs, TensorRT-LLM serve/openai_server.py and
openai_protocol.py, Transformers cli/serve.py, llama.cpp tools/server/server-task.cpp, Ollama middleware/openai.go,
SGLang entrypoints/http_server.py and openai/serving_chat.py, MII entrypoints/openai_api_server.py.

    python engine_quirks.py sglang PORT SGLANG_API_KEY    # one of them as a process: its key is in that variable
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scripted_api import TEMPLATE, ScriptedApi, Talk, pause

# What a request may hold where everything else is refused. TensorRT-LLM: ChatCompletionRequest; Transformers: the
# fields of OpenAI's own client, and generation_config.
TRTLLM_FIELDS = frozenset([
    "messages", "model", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs",
    "max_completion_tokens", "max_tokens", "n", "presence_penalty", "response_format", "seed", "stop",
    "stream", "stream_options", "temperature", "top_p", "tools", "tool_choice", "user", "reasoning_effort",
    "prompt_ignore_length", "best_of", "use_beam_search", "top_k", "top_p_min", "min_p", "repetition_penalty",
    "length_penalty", "early_stopping", "stop_token_ids", "include_stop_str_in_output", "ignore_eos",
    "min_tokens", "skip_special_tokens", "spaces_between_special_tokens", "truncate_prompt_tokens",
    "lora_request", "echo", "add_generation_prompt", "add_special_tokens", "documents", "chat_template",
    "chat_template_kwargs",
])  # fmt: skip
TRANSFORMERS_FIELDS = frozenset([
    "messages", "model", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs",
    "max_completion_tokens", "max_tokens", "n", "presence_penalty", "response_format", "seed", "stop",
    "stream", "stream_options", "temperature", "top_p", "tools", "tool_choice", "user", "generation_config",
])  # fmt: skip


def _event(talk: Talk, document: dict[str, Any], end: bytes = b"") -> None:
    talk.raw(b"data: " + json.dumps(document).encode() + end + b"\n\n")


def _chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def _asked_for_usage(talk: Talk) -> bool:
    return bool((talk.body.get("stream_options") or {}).get("include_usage"))


def _exactly(talk: Talk) -> int:
    """How many tokens an engine would make that can be held to a length; the others end before."""
    return talk.tokens if talk.body.get("ignore_eos") or "generation_config" in talk.body else max(1, talk.tokens // 2)


def _usage(talk: Talk, tokens: int) -> dict[str, int]:
    prompt = len(talk.prompt.split()) + TEMPLATE
    return {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}


def vllm(talk: Talk) -> None:
    """The role first; usage when asked for."""
    count = _exactly(talk)
    talk.start()
    talk.role()
    talk.words(count)
    _event(talk, _chunk({}, "length"))
    if _asked_for_usage(talk):
        _event(talk, {"id": "x", "choices": [], "usage": _usage(talk, count)})
    talk.raw(b"data: [DONE]\n\n")
    talk.write(b"0\r\n\r\n")


def sglang(talk: Talk) -> None:
    """The role first, reasoning null in every delta; usage when asked for, with what its cache gave (as it is told)."""
    count = _exactly(talk)
    talk.start()
    _event(talk, _chunk({"reasoning_content": None, "role": "assistant", "content": ""}))
    for _ in range(count):
        _event(talk, _chunk({"reasoning_content": None, "content": " word"}))
    _event(talk, _chunk({"reasoning_content": None}, "length"))
    if _asked_for_usage(talk):
        usage = {**_usage(talk, count), "prompt_tokens_details": {"cached_tokens": TEMPLATE}, "reasoning_tokens": 0}
        _event(talk, {"id": "x", "choices": [], "usage": usage})
    talk.raw(b"data: [DONE]\n\n")
    talk.write(b"0\r\n\r\n")


def tensorrt_llm(talk: Talk) -> None:
    """A space after every line of data."""
    count = _exactly(talk)
    talk.start()
    _event(talk, _chunk({"role": "assistant", "content": ""}), b" ")
    for _ in range(count):
        _event(talk, _chunk({"content": " word"}), b" ")
    _event(talk, _chunk({}, "length"), b" ")
    if _asked_for_usage(talk):
        _event(talk, {"id": "x", "choices": [], "usage": _usage(talk, count)}, b" ")
    talk.raw(b"data: [DONE] \n\n")
    talk.write(b"0\r\n\r\n")


def tgi(talk: Talk) -> None:
    """The role on every chunk and none of its own; the usage chunk has neither choices nor an id."""
    count = _exactly(talk)
    talk.start()
    for number in range(count):
        finish = "length" if number == count - 1 else None
        _event(talk, _chunk({"role": "assistant", "content": " word"}, finish, usage=None))
    if _asked_for_usage(talk):
        _event(talk, {"id": "", "choices": [], "usage": _usage(talk, count)})
    talk.raw(b"data: [DONE]\n\n")
    talk.write(b"0\r\n\r\n")


def transformers(talk: Talk) -> None:
    """Several tokens in a chunk; usage always, on the last chunk; no [DONE], the connection ends instead."""
    count = _exactly(talk)
    talk.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")

    def say(document: dict[str, Any]) -> None:
        talk.write(b"data: " + json.dumps(document).encode() + b"\n\n")

    say(_chunk({"role": "assistant"}))
    for number in range(0, count, 3):
        say(_chunk({"content": " word" * min(3, count - number)}))
    say(_chunk({}, "length", usage=_usage(talk, count)))
    talk.close()


def llamacpp(talk: Talk) -> None:
    """A role with content null; timings in the last chunk."""
    count = _exactly(talk)
    talk.start()
    _event(talk, _chunk({"role": "assistant", "content": None}))
    talk.words(count)
    timings = {"prompt_n": 1, "predicted_n": count, "predicted_per_second": 1e9}
    if _asked_for_usage(talk):
        _event(talk, _chunk({}, "length"))
        _event(talk, {"id": "x", "choices": [], "usage": _usage(talk, count), "timings": timings})
    else:
        _event(talk, _chunk({}, "length", timings=timings))
    talk.raw(b"data: [DONE]\n\n")
    talk.write(b"0\r\n\r\n")


def ollama(talk: Talk) -> None:
    """The role with the first content; the last chunk has an empty content beside its reason."""
    count = _exactly(talk)
    talk.start()
    for number in range(count):
        _event(talk, _chunk({"role": "assistant", "content": " word"} if not number else {"content": " word"}))
    _event(talk, _chunk({"content": ""}, "length"))
    if _asked_for_usage(talk):
        _event(talk, {"id": "x", "choices": [], "usage": _usage(talk, count)})
    talk.raw(b"data: [DONE]\n\n")
    talk.write(b"0\r\n\r\n")


def mii(talk: Talk) -> None:
    """Never usage, whatever is asked."""
    talk.start()
    talk.role()
    talk.words(_exactly(talk))
    _event(talk, _chunk({}, "length"))
    talk.raw(b"data: [DONE]\n\n")
    talk.write(b"0\r\n\r\n")


def _only(fields: frozenset[str], status: str, said: str) -> Callable[[dict[str, Any]], tuple[str, str] | None]:
    def refuse(body: dict[str, Any]) -> tuple[str, str] | None:
        unknown = sorted(set(body) - fields - {"prompt"})
        return (status, json.dumps({"error": {"message": f"{said}: {', '.join(unknown)}"}})) if unknown else None

    return refuse


def _tgis_grammar(body: dict[str, Any]) -> tuple[str, str] | None:
    """router/src/lib.rs, `GrammarType`: type and value, and nothing of OpenAI's; validation.rs: properties."""
    wanted = body.get("response_format")
    if wanted is None:
        return None
    if wanted.get("type") not in ("json", "json_object", "json_schema", "regex") or "value" not in wanted:
        return "422 Unprocessable Entity", "Failed to deserialize the JSON body: response_format: missing field `value`"
    schema = wanted["value"].get("schema") if wanted["type"] == "json_schema" else wanted["value"]
    if wanted["type"] != "regex" and "properties" not in schema:
        said = {"error": "Grammar must have a 'properties' field", "error_type": "validation"}
        return "422 Unprocessable Entity", json.dumps(said)
    return None


@dataclass
class Drained:
    """TensorRT-LLM's JSON `/metrics`: what was read is gone."""

    reads: int = 0
    queue: list[dict[str, int]] = field(default_factory=lambda: [{"iter": 1}, {"iter": 2}])

    def __call__(self) -> tuple[str, str]:
        self.reads += 1
        text, self.queue = json.dumps(self.queue), []
        return "200 OK", text


@dataclass
class Sglang:
    """SGLang's pages: `/ready` says at once how it is; `/health` makes a token and looks once a second whether it came.

    `/asked` is not SGLang's: what was asked of it.
    """

    api: ScriptedApi
    loading: int = 3  # how often it is asked until its model is there

    def pages(self) -> dict[str, Callable[[], tuple[str, str]]]:
        return {"/ready": self.ready, "/health": self.health, "/metrics": self.metrics, "/asked": self.asked}

    def ready(self) -> tuple[str, str]:
        self.loading -= 1
        return ("503 Service Unavailable" if self.loading >= 0 else "200 OK"), ""

    def health(self) -> tuple[str, str]:
        pause(1.1)
        return "200 OK", ""

    def metrics(self) -> tuple[str, str]:
        made = sum(body["max_tokens"] for body in self.api.bodies)
        return "200 OK", f'sglang:num_running_reqs{{model_name="m"}} 0.0\nsglang:generation_tokens_total {made}.0\n'

    def asked(self) -> tuple[str, str]:
        return "200 OK", json.dumps([" ".join(head.split()[:2]) for head in self.api.heads])


def api(key: str, name: str = "m") -> ScriptedApi:
    """The server of one engine."""
    found = ScriptedApi(script=globals()[key], models=[name])
    if key == "tensorrt_llm":
        found.refuse = _only(TRTLLM_FIELDS, "400 Bad Request", "Extra inputs are not permitted")
    elif key == "sglang":
        found.pages |= Sglang(found).pages()
    elif key == "tgi":
        found.refuse = _tgis_grammar
    elif key == "transformers":
        found.refuse = _only(TRANSFORMERS_FIELDS, "422 Unprocessable Entity", "Unexpected fields in the request")
        found.pages["/v1/models"] = lambda: ("500 Internal Server Error", "Internal Server Error")
    return found


if __name__ == "__main__":
    server = api(sys.argv[1])
    server.at, server.api_key = int(sys.argv[2]), os.environ[sys.argv[3]]
    with server.running():
        pause(600.0)  # until it is ended
