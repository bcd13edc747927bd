"""A record as the sidebars show it (JupyterLab, VS Code): nothing they do not need, and bounded in length."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llm_magics.runtime.record import Record

MOST = 300  # servers in one answer; more is nobody's screen
_LONG = 4000  # letters of a text
_KEYS = (
    "name", "id", "engine", "engine_version", "model", "served_model", "state", "stage", "url", "created", "ready_at",
    "ended_at", "gpus", "asleep", "keep", "idle", "stops_at", "stops_why", "expected", "exit", "command",
)  # fmt: skip
_URGENT = {"failed": 1, "lost": 1}


def shown(record: Record) -> dict[str, Any]:
    """One server."""
    owners = [owner for owner in record.owners if isinstance(owner, dict)]
    return {
        **{key: _short(getattr(record, key)) for key in _KEYS},
        **({"host": _short(record.host)} if record.state == "elsewhere" else {}),
        "diagnosis": _strings(record.diagnosis) or _left(record),
        "owners": [_strings({key: owner.get(key) for key in ("notebook", "kernel_id", "cwd")}) for owner in owners[:8]],
    }


def listed(records: Iterable[Record]) -> dict[str, Any]:
    """Those that a person has to know of: running ones first, then failed and lost ones; none that was stopped."""
    wanted = [record for record in records if record.state != "stopped"]
    wanted.sort(key=lambda record: (_URGENT.get(record.state, 0), record.created, record.name))
    return {"engines": [shown(record) for record in wanted[:MOST]], "left_off": max(0, len(wanted) - MOST)}


def _left(record: Record) -> dict[str, str] | None:
    """Of one that was lost with its container: what only looks does not remove that."""
    if record.state != "lost" or record.container is None:
        return None
    return {
        "cause": "its supervisor was killed; its container may still run",
        "remedy": "dismiss it: that removes its container, too",
    }


def _short(value: Any) -> Any:
    return value[:_LONG] if isinstance(value, str) else value


def _strings(values: Any) -> dict[str, str] | None:
    if not isinstance(values, dict):
        return None
    return {str(key): value[:_LONG] for key, value in values.items() if isinstance(value, str)}
