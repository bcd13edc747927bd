"""How many answers obey a JSON schema, with the server holding them to it and without.

Checked here by the part of JSON Schema that tutorials use (type, properties, required, enum, items), so that the lesson
needs no further package; for the whole of it, use `jsonschema`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from llm_magics.errors import StoreError

_KINDS: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float),
    "boolean": (bool,), "null": (type(None),),
}  # fmt: skip


def structured(
    server: Any, prompts: Sequence[str], schema: Mapping[str, Any], *, held: bool = True, max_tokens: int = 96
) -> list[dict[str, Any]]:
    """Ask every prompt, and say for each answer whether it obeys.

    Parameters
    ----------
    server
        A `Server`.
    schema
        A JSON schema.
    held
        Whether the server is told the schema (`response_format`), and so may write nothing else.

    Returns
    -------
    list of dict
        `prompt`, `answer`, `obeys`, `why` (what is wrong, "" when nothing is), `tokens`.
    """
    asked: dict[str, Any] = {}
    if held:
        asked["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(schema)}}
    rows = []
    for prompt in prompts:
        given = server.client.chat.completions.create(
            model=server.model, messages=[{"role": "user", "content": prompt}],
            max_tokens=max_tokens, temperature=0, **asked,
        )  # fmt: skip
        text = str(given.choices[0].message.content or "")
        why = wrong(text, schema)
        rows.append(
            {"prompt": prompt, "answer": text, "obeys": not why, "why": why, "tokens": given.usage.completion_tokens}
        )
    from llm_magics.results.journal import Journal

    if held:
        with suppress(StoreError):
            Journal().note("structured", {"asked": len(rows), "obeyed": sum(row["obeys"] for row in rows)})
    return rows


def wrong(text: str, schema: Mapping[str, Any]) -> str:
    """What is wrong with a text as JSON of this schema; "" when nothing is."""
    try:
        value = json.loads(text)
    except ValueError as error:
        return f"no JSON: {error}"
    return _wrong(value, schema, "answer")


def _wrong(value: Any, schema: Mapping[str, Any], place: str) -> str:
    if "enum" in schema and value not in schema["enum"]:
        return f"{place} is none of {schema['enum']}"
    kind = schema.get("type")
    if kind and (not isinstance(value, _KINDS[kind]) or (isinstance(value, bool) and kind in ("integer", "number"))):
        return f"{place} is no {kind}"
    if isinstance(value, dict):
        if missing := [name for name in schema.get("required", ()) if name not in value]:
            return f"{place} has no {missing[0]}"
        inner = [
            (value[name], each, f"{place}.{name}")
            for name, each in schema.get("properties", {}).items()
            if name in value
        ]
        if schema.get("additionalProperties") is False and (more := set(value) - set(schema.get("properties", {}))):
            return f"{place} has {min(more)}, which is not in the schema"
    elif isinstance(value, list):
        inner = [(each, schema.get("items", {}), f"{place}[{number}]") for number, each in enumerate(value)]
    else:
        inner = []
    return next((found for each in inner if (found := _wrong(*each))), "")
