"""Servers that are away for a while: stopped, and started again as they were, whatever happens in between.

A record holds all of a server's options but no secrets: one that was started with some cannot be started from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from llm_magics.errors import SpecError
from llm_magics.spec import ServerSpec
from llm_magics.spec.reading import build

if TYPE_CHECKING:
    from llm_magics.api.preparing import Prepared
    from llm_magics.runtime.record import Record


def options(record: Record, then: str) -> dict[str, Any]:
    """The options of a server, as its record has them, on the GPUs that it has.

    Raises
    ------
    SpecError
        When some are secrets, which no record holds; `then` says what to do instead.
    """
    found = dict(record.spec)
    if "***" in (found.get("env") or {}).values() or any("***" in word for word in found.get("args") or ()):
        raise SpecError(f"{record.name} was started with secrets in env or args, which are not kept.", then=then)
    return {**found, "gpus": list(record.gpus)} if record.gpus else found


def as_it_was(record: Record, then: str) -> ServerSpec:
    """What starts a server again: its options, its GPUs, and how long it is kept (errors as in `options`)."""
    kept = {"keep": record.keep} | ({"idle": record.idle} if record.idle is not None else {})
    return build(ServerSpec, {"name": record.name, **options(record, then), **kept})


@contextmanager
def away(
    every: Sequence[tuple[Record, Prepared]], failed: Callable[[Prepared, BaseException], None] | None = None
) -> Iterator[None]:
    """Servers stopped meanwhile: exactly those of the records, never one that has taken a name since.

    At the end, however it comes, each that was told to stop is started again; one that fails keeps no other down, and
    is given to `failed`, or else raised when all have been tried.
    """
    from llm_magics.api.serving import launched
    from llm_magics.runtime.stop import end

    first: BaseException | None = None
    told: list[tuple[Record, Prepared]] = []
    try:
        for record, each in every:
            told.append((record, each))
            end(record)
        yield
    finally:
        for record, each in told:
            try:
                launched(each, again=record)
            except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001
                if failed is not None:
                    failed(each, error)
                first = first or error
        if first is not None and failed is None:
            raise first
