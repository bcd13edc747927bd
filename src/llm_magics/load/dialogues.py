"""Who says what in a conversation that a file holds: OpenAI's messages, and the turns of ShareGPT and its kin."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from llm_magics.errors import SpecError

# Who speaks in the dumps of ShareGPT and their kin. Others (tools, observations) speak after a human only.
ROLES = {"human": "user", "user": "user", "prompter": "user", "system": "system"} | dict.fromkeys(
    ("gpt", "chatgpt", "assistant", "bing", "bard", "model", "bot"), "assistant"
)


def spoken(value: Any, where: str) -> list[list[dict[str, Any]]]:
    """What is said to the assistant before each of its answers, turn by turn; none where nobody asks anything.

    What the assistant says in the file is left out. An answer before the first question answers nothing that is known.

    Raises
    ------
    SpecError
        Where something is no message; `where` says which line it stands on.
    """
    if isinstance(value, str):
        value = maybe_messages(value)
    if isinstance(value, str):
        value = [{"role": "user", "content": value}] if value.strip() else []
    if not isinstance(value, Iterable) or isinstance(value, dict):
        raise SpecError(f"{where}: the prompt is {value!r}, neither text nor a list of messages.")
    share = is_share(value)
    turns: list[list[dict[str, Any]]] = []
    said: list[dict[str, Any]] = []
    for item in value:
        found = _turn(item, where) if share else message(item, where)
        if found is None:
            continue
        if found["role"] != "assistant":
            said.append(found)
        elif any(each["role"] == "user" for each in said):
            turns.append(said)
            said = []
    return [*turns, said] if any(each["role"] == "user" for each in said) else turns


def message(item: Any, where: str) -> dict[str, Any]:
    """A message of OpenAI's API, checked."""
    if isinstance(item, dict) and "role" in item and ("content" in item or "tool_calls" in item):
        return dict(item)
    raise SpecError(f"{where}: {str(item)[:80]} is not a message.", then='write {"role": "user", "content": "…"}')


def is_share(value: Any) -> bool:
    """Whether these are a conversation's turns as ShareGPT has them."""
    return any(isinstance(item, dict) and "from" in item for item in value)


def maybe_messages(text: str) -> Any:
    """A CSV cell may hold messages as JSON."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, list) and found and isinstance(found[0], dict) else text


def _turn(item: Any, where: str) -> dict[str, Any] | None:
    """A turn of ShareGPT as a message; None for those of others and for empty ones."""
    if not isinstance(item, dict) or "from" not in item or "value" not in item:
        raise SpecError(f"{where}: {str(item)[:80]} is not a turn.", then='write {"from": "human", "value": "…"}')
    role, text = ROLES.get(str(item["from"]).strip().lower()), item["value"]
    if role is None or not isinstance(text, str) or not text.strip():
        return None
    return {"role": role, "content": text}
