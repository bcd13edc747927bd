"""If these fail, runs are lost, mixed up or shown to other users of the machine."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest
from synthetic import synthetic_run

from llm_magics import paths
from llm_magics.api.stored_runs import load_run
from llm_magics.errors import SpecError, StoreError
from llm_magics.results import spool
from llm_magics.results.run import Run
from llm_magics.results.store import RunStore


def test_a_run_comes_back_whole() -> None:
    run = synthetic_run(errors=2, slo={"ttft": 0.05}, status="cancelled")
    run.notes.append("a note")
    RunStore().save(run)
    back = RunStore().get(run.id)
    assert back.points == run.points
    assert back.request_frame(warmup=True).equals(run.request_frame(warmup=True))
    assert back.samples.equals(run.samples)
    assert back.flags == run.flags
    assert (back.id, back.name, back.label, back.status, back.started) == (run.id, run.name, run.label, run.status, run.started)  # fmt: skip  # noqa: E501


def test_a_run_of_summaries_comes_back(tmp_path: Path) -> None:
    theirs = Run.load(Path(__file__).parent / "vllm_bench_serve.json")
    RunStore().save(theirs)
    assert RunStore().get(theirs.id).points == theirs.points
    assert RunStore().list()[0].requests == 64


def test_ids_may_be_shortened_as_long_as_they_are_clear() -> None:
    store = RunStore()
    for name in ("rab1", "rab2", "rc_1"):
        store.save(synthetic_run(run_id=name))
    assert store.get("rc").id == "rc_1"
    assert store.get("rab1").id == "rab1"
    for unclear in ("rab", "rx", "", "r%", "___1"):
        with pytest.raises(KeyError):
            store.get(unclear)
    with pytest.raises(SpecError, match="'rab' is the start of several runs") as several:
        load_run("rab")
    assert several.value.why == "rab1, rab2"
    with pytest.raises(SpecError, match="There is no run 'rx'"):
        load_run("rx")


def test_the_newest_stand_first_and_are_read_without_their_requests() -> None:
    store = RunStore()
    for age in range(5):
        store.save(synthetic_run(seed=age, run_id=f"r{age}", concurrency=[1, 4], errors=1))
    rows = store.list(3)
    assert [row.id for row in rows] == ["r4", "r3", "r2"]
    row = rows[0]
    assert (row.points, row.engine, row.status, row.requests) == (2, "vllm", "complete", 100)
    assert row.headline["at"] == "4 streams"
    assert row.headline["median_ttft_ms"] == store.get("r4").points[1]["median_ttft_ms"]  # of the point that is named
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE contents SET document = x'00', requests = x'00'")
    assert [row.id for row in store.list(3)] == ["r4", "r3", "r2"]
    with pytest.raises(StoreError, match="damaged"):
        store.get("r4")


def test_saving_again_replaces_and_deleting_forgets() -> None:
    store = RunStore()
    store.save(synthetic_run(run_id="r1", status="failed"))
    store.save(synthetic_run(run_id="r1"))
    assert [row.status for row in store.list()] == ["complete"]
    store.delete("r1")
    assert store.list() == []
    with pytest.raises(KeyError):
        store.delete("r1")
    with sqlite3.connect(store.path) as connection:
        assert connection.execute("SELECT count(*) FROM contents").fetchone() == (0,)


def test_only_the_user_can_read_it() -> None:
    store = RunStore()
    before = os.umask(0)
    try:
        store.save(synthetic_run())
    finally:
        os.umask(before)
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert store.path.parent.stat().st_mode & 0o777 == 0o700
    keeps_wal_open = sqlite3.connect(store.path)
    keeps_wal_open.execute("SELECT 1 FROM runs").fetchone()
    store.save(synthetic_run())
    assert all(path.stat().st_mode & 0o077 == 0 for path in store.path.parent.glob("runs.sqlite*"))
    keeps_wal_open.close()


def test_text_from_a_server_is_data() -> None:
    nasty = "x'); DROP TABLE runs; --"
    RunStore().save(synthetic_run(name=nasty, run_id="r1"))
    assert RunStore().list()[0].name == nasty


def test_several_processes_write_at_once() -> None:
    """Each makes the store, saves and lists; none is refused, none is lost."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from synthetic import synthetic_run\n"
        "from llm_magics.results.store import RunStore\n"
        "for i in range(4):\n"
        "    RunStore().save(synthetic_run(requests=8, concurrency=[1], run_id=f'r{sys.argv[2]}{i}'))\n"
        "    RunStore().list()\n"
    )

    def write(number: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script, str(Path(__file__).parent), str(number)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)

    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(write, range(4)))
    assert [each.stderr for each in ended if each.returncode] == []
    assert len(RunStore().list(100)) == 16


def test_a_store_that_another_kernel_is_making_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    with sqlite3.connect(path, isolation_level=None) as other, ThreadPoolExecutor() as pool:
        other.execute("BEGIN EXCLUSIVE")  # no write-ahead log yet: SQLite will not wait to switch it on
        listed = pool.submit(RunStore(path).list)
        with pytest.raises(TimeoutError):
            listed.result(timeout=0.2)
        other.execute("COMMIT")
        assert listed.result() == []


def test_a_store_of_a_newer_version_is_refused_in_words() -> None:
    store = RunStore()
    store.save(synthetic_run())
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE store SET schema = 99")
    with pytest.raises(StoreError, match="newer version"):
        store.list()


def test_a_file_that_is_no_store_is_refused_in_words() -> None:
    (paths.data_dir() / "runs.sqlite").write_bytes(b"this is not a database" * 100)
    with pytest.raises(StoreError, match=r"move .* away"):
        RunStore().list()


class TestRecovery:
    """A kernel or generator that was killed leaves a spool; the next `%llm runs` finds it."""

    @pytest.fixture
    def folder(self) -> Path:
        folder = paths.data_dir() / "spool"
        folder.mkdir()
        return folder

    def spooled(self, folder: Path, identity: str, *, requests: int = 10, end: str | None = None) -> Path:
        run = synthetic_run(requests=requests, concurrency=[2], run_id=identity)
        rows = [spool.header(run.header), *run.columns.rows(), *([spool.end(end)] if end else [])]
        path = folder / f"{identity}.jsonl"
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows) + b'{"kind": "requ')
        return path

    def test_a_dead_writers_run_is_kept_as_partial(self, folder: Path) -> None:
        path = self.spooled(folder, "r1")
        assert RunStore().recover(settled=0) == ["r1"]
        run = RunStore().get("r1")
        assert (run.status, run.partial, len(run.requests)) == ("failed", True, 10)
        assert not path.exists()
        assert RunStore().recover(settled=0) == []

    def test_a_run_that_ended_but_was_not_stored_is_complete(self, folder: Path) -> None:
        self.spooled(folder, "r1", end="complete")
        assert RunStore().recover(settled=0) == ["r1"]

    def test_a_living_writer_is_left_alone(self, folder: Path) -> None:
        path = self.spooled(folder, "r1")
        with path.open("ab") as writer:
            fcntl.flock(writer, fcntl.LOCK_EX)
            assert RunStore().recover(settled=0) == []
            assert path.exists()
        assert RunStore().recover(settled=0) == ["r1"]

    def test_a_spool_its_kernel_may_be_about_to_read_is_left_alone(self, folder: Path) -> None:
        self.spooled(folder, "r1")
        assert RunStore().recover() == []
        long_ago = 1_790_000_000
        os.utime(folder / "r1.jsonl", (long_ago, long_ago))
        assert RunStore().recover() == ["r1"]

    def test_a_stored_run_is_not_replaced_by_its_leftover_spool(self, folder: Path) -> None:
        RunStore().save(synthetic_run(run_id="r1"))
        path = self.spooled(folder, "r1")
        assert RunStore().recover(settled=0) == []
        assert RunStore().get("r1").status == "complete"
        assert not path.exists()

    def test_what_cannot_be_read_stays_and_stops_nobody(self, folder: Path) -> None:
        (folder / "a.jsonl").write_bytes(b"\0\0\0\0")
        self.spooled(folder, "r2")
        assert RunStore().recover(settled=0) == ["r2"]
        assert (folder / "a.jsonl").exists()

    def test_a_spool_without_a_request_is_no_run(self, folder: Path) -> None:
        path = folder / "r3.jsonl"
        path.write_bytes(orjson.dumps(spool.header({"run": "r3", "name": "x"})) + b"\n")
        assert RunStore().recover(settled=0) == []
        assert not path.exists()

    def test_no_folder_no_runs(self) -> None:
        assert RunStore().recover() == []
