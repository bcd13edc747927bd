"""A full disk and a kill at any moment: neither may lose a measurement or break the store."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from llm_magics import paths
from llm_magics.results import spool
from llm_magics.results.columns import Columns
from llm_magics.results.records import RequestRecord
from llm_magics.results.run import Run
from llm_magics.results.store import RunStore


def made(identity: str, requests: int = 50) -> Run:
    records = [
        RequestRecord(
            point=0, index=i, intended=i * 0.1, sent=i * 0.1, first_token=i * 0.1 + 0.05, last_token=i * 0.1 + 0.7,
            done=i * 0.1 + 0.7, output_tokens=64, prompt_tokens=9, chunks=64,
            gaps=[10_000 + (i * j) % 997 for j in range(63)],
        )
        for i in range(requests)
    ]  # fmt: skip
    header = {"run": identity, "name": "x", "points": [{"label": "1 stream", "concurrency": 1}], "workload": {}}
    return Run(header, Columns.of_records(records))


def spooled(run: Run) -> Path:
    folder = paths.data_dir() / "spool"
    folder.mkdir(exist_ok=True)
    path = folder / f"{run.id}.jsonl"
    path.write_bytes(b"\n".join(orjson.dumps(row) for row in (spool.header(run.header), *run.columns.rows())) + b"\n")
    return path


def in_python(script: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", script, *arguments]


def test_a_full_disk_keeps_the_spool_and_says_where_it_is() -> None:
    """The disk is full from the store's first growing write on (a file size limit stands in for it)."""
    RunStore().save(made("rfirst1"))
    path = spooled(made("rsecond2", requests=400))
    script = (
        "import resource, sys\n"
        "from llm_magics.errors import StoreError\n"
        "from llm_magics.results import spool\n"
        "from llm_magics.results.store import RunStore\n"
        "run = spool.read(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
        "try:\n"
        "    RunStore().save(run)\n"
        "except StoreError as error:\n"
        "    print(error)\n"
    )
    ended = subprocess.run(in_python(script, str(path)), capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "The run rsecond2 could not be stored." in ended.stdout
    assert f"what was measured is in {path}" in ended.stdout
    # nothing is lost: the first run is whole, the second is stored once there is room
    store = RunStore()
    assert len(store.get("rfirst1").requests) == 50
    assert store.recover(settled=0) == ["rsecond2"]
    assert len(store.get("rsecond2").requests) == 400


def test_a_full_disk_does_not_stop_recovery_of_the_others_or_remove_what_it_could_not_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from llm_magics.errors import StoreError

    kept, stored = spooled(made("rbad1")), spooled(made("rgood2"))
    save = RunStore.save

    def full_for_one(store: RunStore, run: Run) -> None:
        if run.id == "rbad1":
            raise StoreError("The run rbad1 could not be stored.", why="database or disk is full")
        save(store, run)

    monkeypatch.setattr(RunStore, "save", full_for_one)
    assert RunStore().recover(settled=0) == ["rgood2"]
    assert kept.exists()
    assert not stored.exists()


@pytest.mark.parametrize("after", [0.0, 0.02, 0.05, 0.1])
def test_killed_while_saving_the_store_is_whole(after: float) -> None:
    script = (
        "import sys\n"
        "from llm_magics.results import spool\n"
        "from llm_magics.results.store import RunStore\n"
        "run = spool.read(sys.argv[1])\n"
        "print('saving', flush=True)\n"
        "while True:\n"
        "    RunStore().save(run)\n"
    )
    path = spooled(made("rkilled1", requests=200))
    writer = subprocess.Popen(in_python(script, str(path)), stdout=subprocess.PIPE)
    assert writer.stdout is not None
    writer.stdout.readline()
    time.sleep(after)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    store = RunStore()
    store.save(made("rafter1"))
    rows = {row.id for row in store.list()}
    assert "rafter1" in rows
    for identity in rows:
        assert len(store.get(identity).requests) in (50, 200)
    store.recover(settled=0)
    assert len(store.get("rkilled1").requests) == 200


def test_a_directory_that_may_not_be_written_is_an_error_in_words(tmp_path: Path) -> None:
    from llm_magics.errors import StoreError

    place = tmp_path / "file"
    place.write_text("")
    with pytest.raises(StoreError, match="could not be stored"):
        RunStore(place / "runs.sqlite").save(made("r1"))
