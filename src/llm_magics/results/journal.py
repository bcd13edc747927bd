"""What was really done on this machine, in order: servers started, runs measured, comparisons made, marks by hand.

The learning path ticks itself by it. It stands in the run store's file, so it is as safe for several kernels as runs
are; but it is not the runs: a deleted run, or a server whose record is long gone, was nevertheless done.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from llm_magics.results.run import Run
    from llm_magics.results.store import RunStore

# Additive, made when something is first written: older versions go on reading and writing their runs beside it.
TABLES = (
    "CREATE TABLE IF NOT EXISTS deeds (id TEXT PRIMARY KEY, kind TEXT NOT NULL, at REAL NOT NULL, facts TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS ticks (task TEXT PRIMARY KEY, at REAL NOT NULL)",
)
_BILLIONS = re.compile(r"(\d+(?:\.\d+)?)b(?![a-z])", re.IGNORECASE)
_QUANTIZED = re.compile(r"awq|gptq|fp8|int8|int4|w8a8|w4a16|nvfp4|mxfp4|bnb|i?q\d(?:_\w+?)?(?=[-.]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Deed:
    """Something that happened: `kind` (served, benched, compared, …), when (s since the epoch), and its facts."""

    kind: str
    at: float
    facts: Mapping[str, Any]


class Journal:
    """The deeds and marks in a run store.

    Parameters
    ----------
    store
        The store; the user's own when left out.
    """

    def __init__(self, store: RunStore | None = None) -> None:
        if store is None:
            from llm_magics.results.store import RunStore

            store = RunStore()
        self._store = store

    def note(self, kind: str, facts: Mapping[str, Any], *, identity: str = "", at: float | None = None) -> None:
        """Write a deed down; one of the same `identity` is noted once.

        Raises
        ------
        StoreError
            When it cannot be written.
        """
        moment = time.time() if at is None else at
        with self._store.writing("What was done could not be noted.") as connection:
            write(connection, Deed(kind, moment, facts), identity)

    def deeds(self) -> list[Deed]:
        """Everything noted, oldest first.

        Raises
        ------
        StoreError
            When the store cannot be read.
        """
        rows = self._rows("SELECT kind, at, facts FROM deeds ORDER BY at, id")
        return [Deed(kind, at, orjson.loads(facts)) for kind, at, facts in rows]

    def tick(self, task: str, done: bool) -> None:
        """Mark a task by hand, or take the mark away.

        Raises
        ------
        StoreError
            When it cannot be written.
        """
        with self._store.writing(f"The mark of {task} could not be stored.") as connection:
            make(connection)
            if done:
                connection.execute("INSERT OR IGNORE INTO ticks VALUES (?, ?)", (task, time.time()))
            else:
                connection.execute("DELETE FROM ticks WHERE task = ?", (task,))

    def ticks(self) -> dict[str, float]:
        """Task -> when it was marked by hand, s since the epoch."""
        return dict(self._rows("SELECT task, at FROM ticks"))

    def _rows(self, query: str) -> list[Any]:
        if not self._store.path.exists():
            return []
        with self._store.reading() as connection:
            known = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            return connection.execute(query).fetchall() if {"deeds", "ticks"} <= known else []


def make(connection: sqlite3.Connection) -> None:
    """Make the journal's tables, inside a transaction that writes."""
    for statement in TABLES:
        connection.execute(statement)


def write(connection: sqlite3.Connection, deed: Deed, identity: str = "") -> None:
    """Write a deed, inside a transaction of the store."""
    make(connection)
    name = identity or f"{deed.kind}:{deed.at:.6f}"
    facts = orjson.dumps(dict(deed.facts), default=str).decode()
    connection.execute("INSERT OR IGNORE INTO deeds VALUES (?, ?, ?, ?)", (name, deed.kind, deed.at, facts))


def of_run(run: Run) -> Deed:
    """A run as a deed: what was loaded, how, and whether it came to its end."""
    work, points = run.workload, run.points
    streams = [point.get("concurrency") or 0 for point in run.asked]
    facts = {
        **server_facts(run.header),
        "run": run.id,
        "status": run.status,
        "workload": work.get("workload") or "random",
        "points": len(points),
        "levels": len({each for each in streams if each}),
        "streams": max(streams, default=0),
        "slo": bool(run.slo),
        "nodes": len(run.header.get("nodes") or ()),
        "completed": sum(int(point.get("completed") or 0) for point in points),
    }
    return Deed("benched", float(run.header.get("started") or time.time()), facts)


def server_facts(known: Mapping[str, Any]) -> dict[str, Any]:
    """What a task may ask about a server, from a record or a run's header; nothing secret, no path.

    `billions` is the size that the model's name says (None where it says none), `quantization` what the spec or the
    model's name says (`none` where neither does).
    """
    spec = known.get("spec") or {}
    model = Path(str(known.get("model") or "")).name or str(known.get("model") or "")
    size = _BILLIONS.search(model)
    named = _QUANTIZED.search(model)
    chosen = ("max_num_seqs", "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size",
              "enable_prefix_caching", "kv_cache_dtype")  # fmt: skip
    return {
        "engine": str(known.get("engine") or ""),
        "version": str(known.get("engine_version") or ""),
        "model": model,
        "billions": float(size[1]) if size else None,
        "quantization": str(spec.get("quantization") or (named[0] if named else "none")).lower(),
        "speculative": str((spec.get("speculative") or {}).get("method") or ""),
        "gpus": len(known.get("gpus") or ()),
        "on": str(spec.get("on") or "local").partition(":")[0],
        **{key: spec[key] for key in chosen if spec.get(key) is not None},
    }
