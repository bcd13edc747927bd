"""What is said of a name that no server has, whichever verb was given it: the nearest one, and those of use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_magics.errors import NoServerError

if TYPE_CHECKING:
    from llm_magics.runtime.registry import Registry

_NAMED = 5  # servers that are named; a day leaves dozens of records of servers that were stopped


def no_server(name: str, registry: Registry, *, then: str = "%llm list", sure: bool = False) -> NoServerError:
    """The error of a name that is nobody's; a few servers are named with their states, also such as were stopped.

    Parameters
    ----------
    then
        What to type where no name is near; a near one is what was meant.
    sure
        The name is right, and `then` says so.
    """
    from llm_magics.spec.reading import closest

    records = registry.list()
    near = None if sure else closest(name, [record.name for record in records])
    records.sort(key=lambda record: (record.name != near, not record.alive, -record.created))
    named = ", ".join(f"{record.name} ({record.state})" for record in records[:_NAMED])
    more = f" and {len(records) - _NAMED} more (`%llm list --all`)" if len(records) > _NAMED else ""
    return NoServerError(
        f"There is no server {name!r}{f' (did you mean {near!r}?)' if near else ''}.",
        why=f"known: {named}{more}" if records else "no server was served here",
        then=f"write {near}" if near else then,
    )
