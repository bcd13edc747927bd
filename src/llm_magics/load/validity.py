"""Whether an answer is the JSON that was asked for. Loaded only by a run that asks for some."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson


def validity(schema: dict[str, Any]) -> Callable[[str], bool]:
    """What tells whether a text is one JSON document that keeps the schema (draft 2020-12, where it names no other)."""
    from jsonschema import Draft202012Validator, validators

    validator = validators.validator_for(schema, default=Draft202012Validator)(schema)

    def valid(text: str) -> bool:
        try:
            return bool(validator.is_valid(orjson.loads(text)))
        except (orjson.JSONDecodeError, RecursionError):
            return False

    return valid
