"""What an answer says: which events carry content, how many tokens the server counts, how it went wrong.

This is where a load tester is right or wrong. Rules, each with a test: a role alone is no token; text, reasoning and
tool calls are content; the server's `usage` is the only count of tokens. How the bytes are freed of HTTP stands in
`http_answer`, how they become events in `event_stream`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from llm_magics.load.event_stream import EventStream
from llm_magics.load.events import choices, content, learn
from llm_magics.load.server_words import explain


class Reply(EventStream):
    """The answer to one request, by OpenAI's API.

    Attributes
    ----------
    finish, prompt_tokens, output_tokens, cached_tokens
        As the server said; None where it did not.
    first_tokens
        Tokens of the first chunk with content, where the server counts them as they come; None where it does not.
    on_text
        Called with the text of each chunk; switches the frame off. For showing answers, never while measuring load.
    """

    __slots__ = ("cached_tokens", "finish", "first_tokens", "on_text", "output_tokens", "prompt_tokens")

    def __init__(self, on_text: Callable[[str, int], None] | None = None) -> None:
        super().__init__()
        self.finish: str | None = None
        self.prompt_tokens: int | None = None
        self.output_tokens: int | None = None
        self.cached_tokens: int | None = None
        self.first_tokens: int | None = None
        self.on_text = on_text

    def _decode(self, data: bytes, now: int) -> None:
        try:
            document = orjson.loads(data)
        except orjson.JSONDecodeError:
            if self.error is None:
                said = data[:200].decode("utf-8", "replace")
                self.error = (
                    said if self._event_name == b"error" else f"The stream held something that is not JSON: {said}"
                )
            return
        if self._event_name == b"error" or not isinstance(document, dict) or document.get("error"):
            if self.error is None:
                self.error = explain(document)
            return
        self._document(document, data, now)

    def _document(self, document: dict[str, Any], data: bytes, now: int) -> None:
        plain = self._usage(document.get("usage"))
        for choice in choices(document):
            if choice.get("finish_reason"):
                self.finish = str(choice["finish_reason"])
                plain = False
            text = content(choice)
            if text is None:
                continue
            self.stamps.append(now)
            if self.on_text is not None:
                self.on_text(text, now)
            if len(self.stamps) == 1:  # of a request of one chunk a frame would be learned in vain
                self.first_tokens = None if plain else self.output_tokens
            elif plain and text and self.on_text is None and b"\n" not in data:
                self._frame = learn(data)
            return

    def _usage(self, usage: Any) -> bool:
        """Note the counts; True when there are none (then nothing but text may change from event to event)."""
        if not isinstance(usage, dict):
            return True
        for key, slot in (("prompt_tokens", "prompt_tokens"), ("completion_tokens", "output_tokens")):
            if isinstance(usage.get(key), int):
                setattr(self, slot, usage[key])
        details = usage.get("prompt_tokens_details")
        if isinstance(details, dict) and isinstance(details.get("cached_tokens"), int):
            self.cached_tokens = details["cached_tokens"]
        return False

    def _said_finished(self) -> bool:
        return bool(self.finish or self._done_event or "json" in self._media)

    def _finish(self, now: int) -> None:
        if self.status != 200:
            self.error = f"HTTP {self.status}: {self._said() or 'the server said nothing else'}"
        elif not self._streamed:
            self._whole(now)
        elif not self.stamps and not self.finish:
            self.error = "The stream ended without any content."

    def _whole(self, now: int) -> None:
        """A 200 answer that is one document: right when the server ignored `stream`, else an error page."""
        try:
            document = orjson.loads(b"".join(self._body))
        except orjson.JSONDecodeError:
            self.error = f"The answer is neither a stream nor JSON: {self._said()}"
            return
        if not isinstance(document, dict) or document.get("error") or not choices(document):
            self.error = explain(document)
            return
        self._usage(document.get("usage"))
        choice = choices(document)[0]
        self.finish = choice.get("finish_reason")
        text = content({"delta": choice["message"]} if isinstance(choice.get("message"), dict) else choice)
        if text is not None:
            self.stamps.append(now)
            if self.on_text is not None:
                self.on_text(text, now)
        elif not self.finish:
            self.error = "The answer holds no content."

    def _said(self) -> str:
        body = b"".join(self._body)
        try:
            return explain(orjson.loads(body))
        except orjson.JSONDecodeError:
            return " ".join(body[:600].decode("utf-8", "replace").split())[:300]
