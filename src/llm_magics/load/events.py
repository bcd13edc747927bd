"""One event of a stream: the text it carries, and the frame around that text, by which the next ones are known."""

from __future__ import annotations

import re
from typing import Any

import orjson

_STRING = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*"')
_TEXT_KEY = re.compile(rb'"(?:content|text|reasoning_content|reasoning)"\s*:\s*"')
_PROBE = "\x01hole"


def choices(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The choices of a chunk or an answer; what stands in their place and is none is left out."""
    found = document.get("choices")
    return [choice for choice in found if isinstance(choice, dict)] if isinstance(found, list) else []


def content(choice: dict[str, Any]) -> str | None:
    """The text that a choice of a chunk carries; "" for a tool call; None for a role alone, which is no token."""
    if isinstance(choice.get("text"), str):
        return choice["text"] or None
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return None
    for key in ("content", "reasoning_content", "reasoning", "refusal"):
        text = delta.get(key)
        if isinstance(text, str) and text:
            return text
        if isinstance(text, list) and text:
            return "".join(str(part.get("text", "")) for part in text if isinstance(part, dict))
    return "" if delta.get("tool_calls") or delta.get("function_call") else None


def learn(data: bytes) -> tuple[bytes, bytes] | None:
    """The bytes before and after the text of an event, proved by decoding the event again with another text."""
    key = _TEXT_KEY.search(data)
    while key is not None:
        value = _STRING.match(data, key.end())
        if value is None:
            return None
        if value.end() - key.end() > 1:
            break
        key = _TEXT_KEY.search(data, value.end())
    if key is None or value is None:
        return None
    head, tail = data[: key.end()], data[value.end() - 1 :]
    try:
        changed = orjson.loads(head + b"\\u0001hole" + tail)
    except orjson.JSONDecodeError:
        return None
    return (head, tail) if any(content(choice) == _PROBE for choice in choices(changed)) else None
