"""What is remembered of engines between kernels: where a user said they are, and what interpreters answered.

Two JSON files in the data directory. They save time and typing, never more: a spoiled one is as good as none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from llm_magics import paths

_ANSWERS, _PLACES = "engine-answers.json", "engine-places.json"


def place(key: str) -> Any:
    """Where the engine was said to be: {"python": …} or {"bin": …}; None when nothing was said."""
    return _load(_PLACES).get(key)


def remember(key: str, place: Mapping[str, str | None]) -> None:
    """Keep where the engine was said to be."""
    _save(_PLACES, {**_load(_PLACES), key: place})


def forget(key: str) -> None:
    """Keep it no longer."""
    places = _load(_PLACES)
    if places.pop(key, None) is not None:
        _save(_PLACES, places)


def kept(key: str, stamp: list[Any], find: Callable[[], dict[str, Any] | None]) -> dict[str, Any] | None:
    """The answer of the last time if its stamp is still the same, else a new one; no answer is not kept."""
    answers = _load(_ANSWERS)
    entry = answers.get(key)
    if isinstance(entry, dict) and entry.get("stamp") == stamp and isinstance(entry.get("answer"), dict):
        return dict(entry["answer"])
    answer = find()
    if answer is not None:
        _save(_ANSWERS, {**answers, key: {"stamp": stamp, "answer": answer}})
    return answer


def _load(name: str) -> dict[str, Any]:
    try:
        data = json.loads((paths.data_dir() / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _save(name: str, data: dict[str, Any]) -> None:
    """Written beside and renamed, so that no reader sees half of it; a full disk costs the memory, not the launch."""
    path = paths.data_dir() / name
    part = path.with_name(f".{name}.{os.getpid()}")
    try:
        part.touch(mode=0o600)
        part.write_text(json.dumps(data, indent=1), encoding="utf-8")
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
