"""What a server said when something went wrong, out of the many shapes in which servers say it."""

from __future__ import annotations

import json
from typing import Any

_LONGEST = 400  # characters kept of an error


def explain(document: Any) -> str:
    """The words of an error document: OpenAI's `error.message`, FastAPI's `detail`, or the document itself."""
    if isinstance(document, dict):
        for key in ("error", "detail", "message", "msg"):
            if document.get(key):
                return explain(document[key])
    if isinstance(document, list) and document and isinstance(document[0], dict) and "msg" in document[0]:
        return "; ".join(_invalid(item) for item in document[:3] if isinstance(item, dict))
    text = document if isinstance(document, str) else json.dumps(document, default=str)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _invalid(item: dict[str, Any]) -> str:
    """One of FastAPI's validation errors: where, and what."""
    place = item.get("loc")
    where = ".".join(map(str, place)) if isinstance(place, list) else ""
    return f"{where} {item.get('msg', '')}".strip()
