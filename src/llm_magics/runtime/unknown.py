"""What is said of a name that no server has, whichever verb was given it: the nearest one, and those there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_magics.errors import NoServerError

if TYPE_CHECKING:
    from llm_magics.runtime.registry import Registry


def no_server(name: str, registry: Registry, *, then: str = "%llm list") -> NoServerError:
    """The error of a name that is nobody's; servers that were stopped are named too, with their states."""
    from llm_magics.spec.reading import nearest

    records = sorted(registry.list(), key=lambda record: (not record.alive, record.created))
    return NoServerError(
        f"There is no server {name!r}{nearest(name, [record.name for record in records])}.",
        why=f"known: {', '.join(f'{record.name} ({record.state})' for record in records)}"
        if records
        else "no server was served here",
        then=then,
    )
