"""The learning path's door: what is done here is noted for it, and what this machine lacks is told to it.

Noting never disturbs what is noted: a journal that cannot be written costs a tick and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

from llm_magics.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from llm_magics.results.comparison import Comparison
    from llm_magics.runtime.record import Record

P = ParamSpec("P")


def overview() -> list[dict[str, Any]]:
    """The path with its ticks (see `learn.progress.overview`), and what this machine lacks for each task."""
    from llm_magics.learn import progress

    return progress.overview(lacks=lacking())


def tick(task: str, done: bool = True) -> None:
    """Mark a task that cannot be seen, or take the mark away (errors as in `learn.progress.tick`)."""
    from llm_magics.learn import progress

    progress.tick(task, done)


def notebook(task: str, folder: str | Path = ".") -> Path:
    """Copy a task's notebook into a folder, never over a copy (errors as in `learn.notebooks.notebook`)."""
    from llm_magics.learn import notebooks

    return notebooks.notebook(task, folder)


def lacking() -> frozenset[str]:
    """Of what tasks need, what this machine does not have."""
    from llm_magics import engines
    from llm_magics.engines import environments
    from llm_magics.learn import path
    from llm_magics.runtime.gpus import gpus

    cards = len(gpus())
    needed = {need for task in path.tasks() for need in task.needs}
    found = {"gpu": cards >= 1, "gpus": cards >= 2}
    for key in needed - set(found):
        found[key] = key in engines.names() and environments.locate(engines.get(key)) is not None
    return frozenset(need for need in needed if not found[need])


def note(kind: str, facts: Mapping[str, Any] | None = None, *, identity: str = "", at: float | None = None) -> None:
    """Write down that something was done."""
    from llm_magics.results.journal import Journal

    with suppress(StoreError):
        Journal().note(kind, facts or {}, identity=identity, at=at)


def served(record: Record) -> None:
    """A server became ready."""
    from llm_magics.results.journal import server_facts

    note("served", server_facts(record.to_json()), identity=f"served:{record.name}:{record.created}")


def comparisons_noted(make: Callable[P, Comparison]) -> Callable[P, Comparison]:
    """A function that makes comparisons, each of which is noted."""

    @wraps(make)
    def noting(*given: P.args, **named: P.kwargs) -> Comparison:
        comparison = make(*given, **named)
        note("compared", _facts(comparison))
        return comparison

    return noting


def _facts(comparison: Comparison) -> dict[str, Any]:
    from llm_magics.results.journal import server_facts

    sides = [server_facts(run.header) for run in comparison.runs.values()]
    engines = sorted({side["engine"] for side in sides} - {"", "unknown"})
    partial = any(run.partial for run in comparison.runs.values())
    return {
        "load": bool(comparison.runs),
        "sides": len(comparison.labels),
        "engines": engines,
        "engine_count": len(engines),
        "models": sorted({side["model"] for side in sides}),
        "status": "cancelled" if partial else "complete",
    }
