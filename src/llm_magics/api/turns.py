"""Sides of a comparison that are on the machine only for their turn: engines started for it, servers that take turns.

Two servers that share a GPU are never measured while both are there: an idle one still holds memory, and with it the
other's cache. Each is stopped while the other is measured and started again from its own spec; when the comparison
ends, however it ends, every server that was running runs again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from llm_magics.api.again import as_it_was, away
from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.api.preparing import Prepared
    from llm_magics.api.targets import Target
    from llm_magics.runtime.record import Record
    from llm_magics.spec import ServerSpec


@contextmanager
def there(target: Target) -> Iterator[Target]:
    """A side that is there all the time: nothing is started for its turn, nothing cleared away after it."""
    yield target


@contextmanager
def started(prepared: Prepared, *, greet: bool = False) -> Iterator[Target]:
    """An engine for one turn: started, given as a target, stopped and forgotten whatever happens.

    `greet` asks it for one token first, and notes how long that took from the command: what one waits for a new server.
    """
    from llm_magics.api.serving import launched
    from llm_magics.api.targets import resolve
    from llm_magics.runtime.stop import dismiss

    server = launched(prepared)
    with ExitStack() as after:  # each of these is done, whatever the one before it raises
        after.callback(dismiss, server.name)
        after.callback(server.stop)  # once more: an interrupt while it stops does not leave it there
        after.callback(server.stop)
        target = resolve(server)
        yield _greeted(target) if greet else target


def _greeted(target: Target) -> Target:
    from llm_magics.load.answers import answers

    first = answers({target.name: target.endpoint}, "Hello", max_tokens=1)[target.name]
    ready = target.provenance.get("ready_after")
    if first.ttft is None or ready is None:
        return target
    return replace(target, provenance={**target.provenance, "first_token_after": ready + first.ttft})


def sharing(targets: Sequence[Target]) -> bool:
    """Whether any two of the targets are servers of this machine on the same GPU."""
    seen: set[int] = set()
    for target in targets:
        own = set(target.provenance.get("gpus") or [])
        if own & seen:
            return True
        seen |= own
    return False


@contextmanager
def alternating(
    targets: Sequence[Target],
) -> Iterator[dict[str, Callable[[], AbstractContextManager[Target]]]]:
    """The servers as sides that are never there together; all run again at the end.

    Raises
    ------
    SpecError
        Before anything is stopped: for a URL, or a server that cannot be started again from its record.
    """
    from llm_magics.api.preparing import prepare

    again = [(record, prepare(_spec(record), force=True)) for record in map(_record, targets)]
    with away(again):
        yield {record.name: _turn(prepared) for record, prepared in again}


def _turn(prepared: Prepared) -> Callable[[], AbstractContextManager[Target]]:
    @contextmanager
    def turn() -> Iterator[Target]:
        from llm_magics.api.serving import launched
        from llm_magics.api.targets import resolve
        from llm_magics.runtime.stop import end

        server = launched(prepared)
        record = server.record
        try:
            yield resolve(server)
        finally:
            end(record)

    return turn


def _record(target: Target) -> Record:
    from llm_magics.runtime.registry import Registry

    record: Record | None = Registry().get(target.name)
    if record is None or not record.alive or target.provenance.get("target") != target.name:
        raise SpecError(
            f"{target.name} cannot be stopped and started again: it is no server of this machine.",
            then="leave --restart out",
        )
    return record


def _spec(record: Record) -> ServerSpec:
    return as_it_was(record, "put them into this notebook's environment and start it without, or add --no-restart")
