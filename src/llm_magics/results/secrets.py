"""A run's header as others may see it: in an issue, in a tracker.

Two options of a user's hold what no record can tell a secret from: the variables given to an engine, and the fields
added to every request. Their names say what was set; their values stay here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_HELD = (("spec", "env"), ("workload", "extra_body"))
_UNSAID = "…"


def without_secrets(header: Mapping[str, Any]) -> dict[str, Any]:
    """The header with the values of those options unsaid."""
    found = dict(header)
    for part, option in _HELD:
        given = found.get(part)
        if isinstance(given, Mapping) and given.get(option):
            values = given[option]
            unsaid = dict.fromkeys(values, _UNSAID) if isinstance(values, Mapping) else _UNSAID
            found[part] = {**given, option: unsaid}
    return found
