"""How a server is spoken to: OpenAI's API, which nearly all have, or the one of the KServe family, which Triton has.

Paths, how a prompt is said, and which reader understands the answer; nothing else of the load generator knows more
than one API. Readers of answers differ as types, so that the hot path asks nothing at run time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import orjson

from llm_magics.load.reply import Reply
from llm_magics.load.server_words import explain


@dataclass(frozen=True)
class Protocol:
    """One API. `{model}` in a path is the model's name.

    Attributes
    ----------
    chat, plain
        Paths of streamed answers to messages and to plain text; no `chat`: messages cannot be said.
    whole
        Path of an answer to plain text in one piece; "" when it is `plain`'s, which `stream` tells apart.
    prompt
        The field that holds a plain text.
    names_model
        Whether a request's body names the model; else its path does.
    exists
        What answers 200 when the model is served; "" when the list at /v1/models says so.
    reply
        What reads an answer.
    """

    key: str
    chat: str
    plain: str
    prompt: str
    reply: type[Reply]
    whole: str = ""
    names_model: bool = True
    exists: str = ""

    def path(self, model: str, *, chat: bool, stream: bool = True) -> str:
        """Where a request goes; messages go to the plain path where there is no other."""
        path = self.chat if chat and self.chat else self.plain if stream else self.whole or self.plain
        return path.format(model=model)

    def named(self, model: str) -> dict[str, Any]:
        """The field that names the model, where a body has one."""
        return {"model": model} if self.names_model else {}

    def said(self, text: str, *, chat: bool) -> dict[str, Any]:
        """The fields that hold a prompt."""
        if chat and self.chat:
            return {"messages": [{"role": "user", "content": text}]}
        return {self.prompt: text}

    def prompt_tokens(self, document: Any) -> int | None:
        """The tokens of the prompt, as a whole answer counts them."""
        if not isinstance(document, dict):
            return None
        usage = document.get("usage") if self.chat else document
        tokens = usage.get("prompt_tokens" if self.chat else "num_input_tokens") if isinstance(usage, dict) else None
        return tokens if isinstance(tokens, int) and tokens > 0 else None


class Generated(Reply):
    """An answer of `generate_stream`: text in `text_output`, each event's own tokens in `num_output_tokens`, no [DONE].

    Field names are those of Triton's vLLM backend. Every event is decoded: its count may differ from the last one's.
    """

    __slots__ = ()

    def _document(self, document: dict[str, Any], data: bytes, now: int) -> None:
        prompt, tokens = document.get("num_input_tokens"), document.get("num_output_tokens")
        if isinstance(prompt, int):
            self.prompt_tokens = prompt
        if isinstance(tokens, list):  # one for each of n answers; one was asked for
            tokens = tokens[0] if tokens else None
        if isinstance(tokens, int):
            self.output_tokens = (self.output_tokens or 0) + tokens
        finish = document.get("finish_reason")
        if isinstance(finish, str) and finish not in ("", "None"):  # so Python says that there is none yet
            self.finish = finish
        text = document.get("text_output")
        if isinstance(text, str) and text:
            self.stamps.append(now)
            if self.on_text is not None:
                self.on_text(text, now)

    def _whole(self, now: int) -> None:
        """A 200 answer that is one document: right when the server ignored `stream`, else an error page."""
        try:
            document = orjson.loads(b"".join(self._body))
        except orjson.JSONDecodeError:
            self.error = f"The answer is neither a stream nor JSON: {self._said()}"
            return
        if not isinstance(document, dict) or "text_output" not in document:
            self.error = explain(document)
            return
        self._document(document, b"", now)


OPENAI = Protocol("openai", "/v1/chat/completions", "/v1/completions", "prompt", Reply)
KSERVE = Protocol(
    "kserve", "", "/v2/models/{model}/generate_stream", "text_input", Generated,
    whole="/v2/models/{model}/generate", names_model=False, exists="/v2/models/{model}/ready",
)  # fmt: skip
PROTOCOLS: Mapping[str, Protocol] = MappingProxyType({each.key: each for each in (OPENAI, KSERVE)})
