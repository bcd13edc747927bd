"""The run store: every run of this user in one SQLite file that notebooks, terminals and the sidebar share.

Write-ahead logging lets several processes read and write at once and survives a kill at any moment. A run that could
not be stored stays in its spool, and spools whose writer died become partial runs: no measurement is ever lost.
Listing reads only short columns, never the requests.
"""

from __future__ import annotations

import builtins
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from llm_magics import paths
from llm_magics.errors import StoreError
from llm_magics.results import journal, spool
from llm_magics.results.columns import Columns
from llm_magics.results.records import Audit, PointWindow, ServerSample
from llm_magics.results.run import Run
from llm_magics.results.run_rows import RunRow, row_of

__all__ = ["RunRow", "RunStore"]

SCHEMA = 1
_BUSY = 20.0  # s to wait for another process that writes
_SETTLED = 15.0  # s a spool must have been left alone before it is taken for a dead writer's

_TABLES = """
CREATE TABLE IF NOT EXISTS store (schema INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, label TEXT NOT NULL, engine TEXT NOT NULL, model TEXT NOT NULL,
    started REAL NOT NULL, status TEXT NOT NULL, points INTEGER NOT NULL, requests INTEGER NOT NULL,
    headline TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS contents (
    id TEXT PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE, document BLOB NOT NULL, requests BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS runs_started ON runs (started DESC);
"""


class RunStore:
    """Saved runs.

    Parameters
    ----------
    path
        The SQLite file; in the data directory when left out. It is made with mode 0600.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path) if path is not None else paths.data_dir() / "runs.sqlite"

    def save(self, run: Run) -> None:
        """Store a run, in place of an earlier one of the same id.

        Raises
        ------
        StoreError
            When it cannot be written (a full disk, no permission); a spool the run was read from stays where it is.
        """
        row = asdict(row_of(run)) | {"started": run.started.timestamp()}
        row["headline"] = orjson.dumps(row["headline"]).decode()
        document = {
            "header": run.header,
            "status": run.status,
            "given": run.given,
            "notes": run.notes,
            "windows": [asdict(each) for each in run.windows],
            "audits": [asdict(each) for each in run.audits],
            "samples": [asdict(each) for each in run.server_samples],
        }
        names = ", ".join(row)
        try:
            with self.writing(f"The run {run.id} could not be stored.", then=_where(run)) as connection:
                connection.execute(
                    f"INSERT OR REPLACE INTO runs ({names}) VALUES ({', '.join(f':{key}' for key in row)})",  # noqa: S608 - names are the fields of RunRow
                    row,
                )
                connection.execute(
                    "INSERT OR REPLACE INTO contents VALUES (?, ?, ?)",
                    (run.id, orjson.dumps(document, default=str), run.columns.to_bytes()),
                )
                journal.write(connection, journal.of_run(run), f"run:{run.id}")
        except (TypeError, orjson.JSONEncodeError) as error:
            raise StoreError(f"The run {run.id} could not be stored.", why=str(error), then=_where(run)) from error

    def get(self, reference: str) -> Run:
        """The run of this id, or the only one whose id starts so.

        Raises
        ------
        KeyError
            When no run has it, or several have: some of those follow the reference in its arguments.
        StoreError
            When the store cannot be read, or the run in it is damaged.
        """
        with self.reading() as connection:
            start = reference.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
            found = connection.execute("SELECT id FROM runs WHERE id LIKE ? ESCAPE '\\' LIMIT 3", (start,)).fetchall()
            ids = [each[0] for each in found]
            if reference in ids:
                ids = [reference]
            if not reference or len(ids) != 1:
                raise KeyError(reference, *ids)
            document, requests = connection.execute(
                "SELECT document, requests FROM contents WHERE id = ?", (ids[0],)
            ).fetchone()
        try:
            return _run(orjson.loads(document), requests)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"The stored run {ids[0]} is damaged.", why=str(error)) from error

    def list(self, limit: int = 20) -> list[RunRow]:
        """The newest runs, newest first, without their requests.

        Raises
        ------
        StoreError
            When the store cannot be read.
        """
        with self.reading() as connection:
            names = tuple(RunRow.__dataclass_fields__)
            rows = connection.execute(
                f"SELECT {', '.join(names)} FROM runs ORDER BY started DESC, id DESC LIMIT ?",  # noqa: S608 - names are the fields of RunRow
                (limit,),
            ).fetchall()
        found = []
        for row in rows:
            values = dict(zip(names, row, strict=True))
            values["started"] = datetime.fromtimestamp(values["started"], tz=UTC).isoformat(timespec="seconds")
            values["headline"] = orjson.loads(values["headline"])
            found.append(RunRow(**values))
        return found

    def delete(self, reference: str) -> None:
        """Forget a run, by its whole id.

        Raises
        ------
        KeyError
            When there is no such run.
        StoreError
            When the store cannot be written.
        """
        with self.writing(f"The run {reference} could not be deleted.") as connection:
            if not connection.execute("DELETE FROM runs WHERE id = ?", (reference,)).rowcount:
                raise KeyError(reference)

    def recover(self, directory: str | Path | None = None, *, settled: float = _SETTLED) -> builtins.list[str]:
        """Store what runs had measured whose writer died, and remove their spools; returns the ids.

        A spool that a living process holds locked, or touched less than `settled` seconds ago (its kernel may be about
        to read it), is left alone. So is one that cannot be read or stored.

        Parameters
        ----------
        directory
            Where spools lie; `spool` in the data directory when left out.
        """
        folder = Path(directory) if directory is not None else paths.data_dir() / "spool"
        recovered = []
        for path in sorted(folder.glob("*.jsonl")):
            try:
                with path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    if time.time() - os.fstat(file.fileno()).st_mtime < settled:
                        continue
                    run = spool.read(path)
                    if len(run.columns) and not self._has(run.id):
                        self.save(run)
                        recovered.append(run.id)
                    path.unlink(missing_ok=True)
            except (OSError, StoreError):
                continue
        return recovered

    def _has(self, identity: str) -> bool:
        with self.reading() as connection:
            return connection.execute("SELECT 1 FROM runs WHERE id = ?", (identity,)).fetchone() is not None

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection to read by, closed afterwards; what goes wrong with it is a StoreError."""
        try:
            with closing(self._connect()) as connection:
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise self._unusable("The run store cannot be read.", error) from error

    @contextmanager
    def writing(self, failed: str, then: str = "") -> Iterator[sqlite3.Connection]:
        """A transaction that writes; `failed` and `then` are the words of the StoreError when it cannot."""
        try:
            with closing(self._connect()) as connection, connection:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(failed, error, then) from error

    def _connect(self) -> sqlite3.Connection:
        if not self.path.exists():
            # made by us first, so that it never has another mode; SQLite gives -wal and -shm the mode of the file
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(self.path, timeout=_BUSY, isolation_level=None)
        try:
            _write_ahead(connection)
            connection.execute("PRAGMA foreign_keys = ON")
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make the tables, or refuse a store that a newer version made."""
        try:
            known = connection.execute("SELECT schema FROM store").fetchone()
        except sqlite3.OperationalError:
            known = None
        if known is None:
            connection.execute("BEGIN IMMEDIATE")
            for statement in filter(str.strip, _TABLES.split(";")):
                connection.execute(statement)
            if connection.execute("SELECT schema FROM store").fetchone() is None:
                connection.execute("INSERT INTO store VALUES (?)", (SCHEMA,))
            connection.execute("COMMIT")
        elif known[0] > SCHEMA:
            raise StoreError(
                f"The run store {self.path} was made by a newer version.",
                why=f"its schema is {known[0]}, this version reads up to {SCHEMA}",
                then="upgrade llm-magics",
            )

    def _unusable(self, what: str, error: Exception, then: str = "") -> StoreError:
        if isinstance(error, sqlite3.DatabaseError) and "not a database" in str(error):
            then = f"move {self.path} away: a new store is made"
        return StoreError(what, why=f"{error} ({self.path})", then=then)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch the file to write-ahead logging, which only the first connection of all has to do.

    SQLite does not wait for others with this statement, whatever its time limit: two kernels that make the store at
    once would be told that it is locked. So we wait.
    """
    until = time.monotonic() + _BUSY
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)


def _run(document: dict[str, Any], requests: bytes) -> Run:
    return Run(
        document["header"],
        Columns.from_bytes(requests),
        windows=[PointWindow(**each) for each in document["windows"]],
        audits=[Audit(**each) for each in document["audits"]],
        samples=[ServerSample(**each) for each in document["samples"]],
        status=document["status"],
        given=document["given"],
        notes=document["notes"],
    )


def _where(run: Run) -> str:
    return f"what was measured is in {run.spool}" if run.spool else "keep it with run.save('run.json')"
