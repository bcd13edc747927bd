"""An answer whose text is kept: for conversations, which send it back, and for JSON, which is checked.

Every chunk is decoded then, which costs about three times the processor time of one that is only counted; load without
either never comes here. The text lives as long as its request.
"""

from __future__ import annotations

from typing import Any

import orjson

from llm_magics.load.events import choices
from llm_magics.load.reply import Reply

_MOST = 16 * 1024 * 1024  # characters kept of one answer


class Kept(Reply):
    """A reply of OpenAI's API that keeps what the model says, its reasoning left out, as clients do."""

    __slots__ = ("_pieces", "_size")

    def __init__(self) -> None:
        super().__init__(on_text=_ignore)  # without it chunks of a known shape are not decoded
        self._pieces: list[str] = []
        self._size = 0

    @property
    def text(self) -> str:
        """What was said so far."""
        return "".join(self._pieces)

    def _document(self, document: dict[str, Any], data: bytes, now: int) -> None:
        for choice in choices(document):
            said = choice.get("delta")
            self._keep(said.get("content") if isinstance(said, dict) else choice.get("text"))
        super()._document(document, data, now)

    def _whole(self, now: int) -> None:
        super()._whole(now)
        if self.error is None:
            choice = choices(orjson.loads(b"".join(self._body)))[0]
            said = choice.get("message")
            self._keep(said.get("content") if isinstance(said, dict) else choice.get("text"))

    def _keep(self, text: Any) -> None:
        if isinstance(text, str) and text and self._size < _MOST:
            self._pieces.append(text)
            self._size += len(text)


def _ignore(text: str, now: int) -> None:
    return
