"""The file a run is written to while it goes on, and read from afterwards, even when its writer was killed.

One JSON document a line: a header first, then rows in any order, an end row if the run ended by itself. The writer
holds an exclusive `flock` on it as long as it writes, so that `store.recover` can tell a run that is going on from one
whose writer died. A last line that was cut short is left out; nothing else is ever lost.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from llm_magics.errors import StoreError
from llm_magics.results.columns import Builder
from llm_magics.results.records import SPOOL_SCHEMA, Audit, PointWindow, ServerSample
from llm_magics.results.run import Run

_LONGEST = 1 << 20  # bytes of a header
_ENDS = ("complete", "cancelled", "failed")


def header(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The first row of a spool: provenance as `Run` describes it, marked with kind and schema."""
    return {"kind": "header", "schema": SPOOL_SCHEMA, **fields}


def end(status: str = "complete", error: str | None = None) -> dict[str, Any]:
    """The last row of a spool: how the run ended (`complete`, `cancelled`, `failed`) and why, if it failed."""
    if status not in _ENDS:
        raise ValueError(f"a run ends {', '.join(_ENDS)}; not {status!r}")
    return {"kind": "end", "status": status, **({"error": error} if error else {})}


def read(path: str | Path) -> Run:
    """The run that a spool holds. Without an end row it is `failed`, and so partial.

    Raises
    ------
    StoreError
        When there is no such file, or its first line is no header.
    """
    path = Path(path)
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise StoreError(f"The spool {path} cannot be read.", why=str(error)) from error
    fields = _header(lines[0], path)
    parsed = _Rows()
    # what follows the last newline is a line that its writer did not finish, unless it happens to be whole
    for line in lines[1:]:
        if line:
            parsed.add(line, last=line is lines[-1])
    if parsed.nodes:
        fields["nodes"] = sorted(parsed.nodes, key=lambda node: node["worker"])
    run = Run(
        fields,
        parsed.builder.columns(),
        windows=[PointWindow.of_all(each) for each in parsed.windows.values()],
        audits=[Audit.of_all(each) for each in parsed.audits.values()],
        samples=parsed.samples,
        status=parsed.status,
        notes=parsed.notes(),
    )
    run.spool = path
    return run


def under_way(directory: Path, longest: float, *, quiet: float = 120.0) -> bool:
    """Whether a run is being written to one of the spools in a directory.

    Parameters
    ----------
    longest
        s after its start from which a run does not count any more.
    quiet
        s without a row after which it does not count: its writer writes several times a minute.
    """
    now = time.time()
    for path in directory.glob("*.jsonl"):
        try:
            if now - path.stat().st_mtime < quiet:
                with path.open("rb") as file:
                    fields = _header(file.readline(_LONGEST), path)
                if now - float(fields.get("started") or 0.0) < longest:
                    return True
        except (OSError, StoreError, TypeError, ValueError):
            continue
    return False


class _Rows:
    """What the lines after the header add up to."""

    def __init__(self) -> None:
        self.builder = Builder()
        self.windows: dict[tuple[int, int], list[PointWindow]] = {}  # of each repetition, one of every worker
        self.audits: dict[tuple[int, int], list[Audit]] = {}
        self.samples: list[ServerSample] = []
        self.nodes: list[dict[str, Any]] = []
        self.status = "failed"
        self.error = ""
        self.ended = False
        self.unreadable = 0

    def add(self, line: bytes, *, last: bool) -> None:
        try:
            row = orjson.loads(line)
            kind = row.pop("kind")
            if kind == "request":
                self.builder.add(row)
            elif kind == "window":
                window = PointWindow(row["point"], row["repeat"], row["start"], row["end"])
                self.windows.setdefault((window.point, window.repeat), []).append(window)
            elif kind == "audit":
                audit = Audit(**{key: row[key] for key in Audit.__slots__ if key in row})
                self.audits.setdefault((audit.point, audit.repeat), []).append(audit)
            elif kind == "server":
                self.samples.append(ServerSample(float(row["t"]), dict(row["values"])))
            elif kind == "node":
                self.nodes.append(row)
            elif kind == "end":
                status = row["status"] if row.get("status") in _ENDS else "complete"
                if not self.ended or _ENDS.index(status) > _ENDS.index(self.status):
                    self.status = status  # of several workers' ends the worst is the run's
                self.error, self.ended = self.error or str(row.get("error") or ""), True
        except (ValueError, TypeError, KeyError, AttributeError):
            self.unreadable += not last

    def notes(self) -> list[str]:
        notes = []
        if self.error:
            notes.append(f"the run failed: {self.error}")
        elif not self.ended:
            notes.append("the load generator ended without a word: what it had measured until then was kept")
        if self.unreadable:
            notes.append(f"{self.unreadable} rows of the record could not be read and are left out")
        return notes


def _header(line: bytes, path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(line)  # the standard library's: an unlimited rate is written Infinity, which orjson refuses
        if not isinstance(fields, dict) or fields.pop("kind", "header") != "header":
            raise ValueError("the first line is no header")
        if int(fields.pop("schema", SPOOL_SCHEMA)) > SPOOL_SCHEMA:
            raise ValueError("it was written by a newer version")
    except (ValueError, TypeError) as error:
        raise StoreError(f"{path} holds no run.", why=str(error)) from error
    return fields
