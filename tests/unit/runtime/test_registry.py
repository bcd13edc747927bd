"""The registry: whole records, one writer at a time, and readers that believe nothing unverified."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm_magics.runtime import identity
from llm_magics.runtime.private_files import unfinished
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.runtime.start_times import StartTimes


def record(name: str = "s", **changes: Any) -> Record:
    return Record(
        **{
            "id": "1", "name": name, "engine": "e", "model": "m", "state": "ready", "created": 1.0, "host": "h",
            "reuse_key": "k", "spec": {}, "supervisor": identity.current().to_json(), **changes,
        }
    )  # fmt: skip


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path)


def test_the_default_directory_is_private_and_in_jupyters_runtime_directory(isolated: Path) -> None:
    registry = Registry()
    assert registry.directory == isolated / "runtime" / "llm-magics"
    assert stat.S_IMODE(registry.directory.stat().st_mode) == 0o700


def test_a_record_is_read_as_it_was_written_and_is_private(registry: Registry) -> None:
    written = record(stage="loading weights 1/2", gpus=[0, 1], owners=[{"pid": 1}], exit=None, diagnosis=None)
    registry.write(written)
    assert registry.get("s") == written
    assert [path.name for path in registry.directory.iterdir()] == ["s.json"]
    assert stat.S_IMODE((registry.directory / "s.json").stat().st_mode) == 0o600


def test_the_list_is_by_age_and_skips_what_is_no_record(registry: Registry) -> None:
    registry.write(record("young", created=2.0))
    registry.write(record("old", created=1.0))
    (registry.directory / "broken.json").write_text('{"name":')
    (registry.directory / "start-times.json").write_text("{}")
    (registry.directory / "borrowed.json").write_text((registry.directory / "old.json").read_text())
    assert [each.name for each in registry.list()] == ["old", "young"]


def test_a_record_without_a_living_supervisor_is_lost_only_if_it_claims_to_run(registry: Registry) -> None:
    dead = replace(identity.current(), ticks=1).to_json()
    for state in ("starting", "loading", "ready", "stopping", "stopped", "failed"):
        registry.write(record(state, state=state, supervisor=dead))
    states = {each.name: each.state for each in registry.list()}
    assert states == {
        "starting": "lost", "loading": "lost", "ready": "lost", "stopping": "lost",
        "stopped": "stopped", "failed": "failed",
    }  # fmt: skip
    assert "lost" not in (registry.directory / "ready.json").read_text()  # computed, never stored


@pytest.mark.parametrize("supervisor", [{}, {"pid": 1}, {"pid": "x", "ticks": 1, "boot_id": "", "pidns": 0}])
def test_a_supervisor_that_is_no_identity_makes_a_record_lost(registry: Registry, supervisor: dict[str, Any]) -> None:
    registry.write(record(supervisor=supervisor))
    assert [each.state for each in registry.list()] == ["lost"]


def test_changes_under_the_lock_lose_nothing(registry: Registry) -> None:
    registry.write(record())

    def add(worker: int) -> None:
        for _ in range(10):
            registry.update("s", lambda record: replace(record, owners=[*record.owners, {"worker": worker}]))

    threads = [threading.Thread(target=add, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = registry.get("s")
    assert found is not None
    assert len(found.owners) == 40


def test_updating_what_is_not_there_is_a_key_error(registry: Registry) -> None:
    with pytest.raises(KeyError, match="s"):
        registry.update("s", lambda r: r)


def test_a_lock_taken_while_its_file_is_removed_still_excludes(registry: Registry) -> None:
    """`remove` unlinks the lock file: whoever waited for the old file must queue again for the new one."""
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(20):
            with registry.lock("s"):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.0005)
                inside.pop()
            registry.remove("s")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1


def test_an_error_inside_a_lock_is_not_swallowed(registry: Registry) -> None:
    with pytest.raises(FileNotFoundError), registry.lock("s"):
        raise FileNotFoundError("of the caller")
    with registry.lock("s"):
        pass


def test_a_write_that_fails_leaves_the_old_record(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.write(record())

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full)
    with pytest.raises(OSError, match="No space"):
        registry.write(record(state="stopped"))
    monkeypatch.undo()
    assert registry.get("s") == record()
    assert [path.name for path in registry.directory.iterdir()] == ["s.json"]


def test_what_a_killed_writer_left_is_removed_and_what_a_living_one_writes_is_not(registry: Registry) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    unfinished(registry.directory / "s.json", child.pid).touch()
    living = unfinished(registry.directory / "s.json", os.getpid())
    living.touch()
    registry.prune()
    assert list(registry.directory.iterdir()) == [living]


@pytest.mark.parametrize("other", ["boot_id", "pid_namespace"])
def test_what_another_host_or_container_writes_is_given_time(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    """Its pid is nobody's here, or somebody else's."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    with monkeypatch.context() as there:
        there.setattr(identity, other, lambda: "another")
        theirs = [unfinished(registry.directory / "s.json", pid) for pid in (child.pid, os.getpid())]
    before_places = registry.directory / f".s.json.{child.pid}.ab12cd34.tmp"  # as versions before this one named it
    for path in (*theirs, before_places):
        path.touch()
    registry.prune()
    assert set(registry.directory.iterdir()) == {*theirs, before_places}
    for path in (*theirs, before_places):
        os.utime(path, (time.time() - 2 * 3600,) * 2)
    registry.prune()
    assert list(registry.directory.iterdir()) == []


def test_what_was_lost_is_kept_a_day_from_the_last_word_of_it(registry: Registry) -> None:
    """However long it ran: its log says why."""
    there = {**identity.current().to_json(), "boot_id": "of another machine"}
    registry.write(record(host=os.uname().nodename, supervisor=there, created=time.time() - 30 * 3600))
    registry.write(record(name="old", host=os.uname().nodename, supervisor=there))
    os.utime(registry.directory / "old.json", (time.time() - 30 * 3600,) * 2)
    registry.prune()
    assert [each.name for each in registry.list()] == ["s"]


def test_only_what_has_ended_is_removed(registry: Registry) -> None:
    registry.write(record())
    assert not registry.remove("s")
    assert registry.get("s") == record()
    registry.write(record(state="stopped"))
    registry.write_key("s", "k" * 30)
    registry.log_path("s").touch()
    assert registry.remove("s")
    assert list(registry.directory.iterdir()) == []


def test_what_ended_long_ago_is_pruned(registry: Registry) -> None:
    day = 24 * 3600
    registry.write(record("long_ago", state="failed", ended_at=time.time() - 2 * day))
    registry.write(record("lately", state="failed", ended_at=time.time() - 60))
    registry.write(record("running", created=time.time() - 9 * day))
    registry.prune()
    assert {each.name for each in registry.list()} == {"lately", "running"}


def test_keys_have_a_private_file_of_their_own(registry: Registry) -> None:
    assert registry.key("s") is None
    registry.write_key("s", "secret")
    assert registry.key("s") == "secret"
    assert stat.S_IMODE(registry.key_path("s").stat().st_mode) == 0o600
    registry.write_key("s", None)
    assert registry.key("s") is None


@pytest.mark.parametrize("name", ["../s", "a/b", "", "a.b", "x" * 41, "1a", "ä"])
def test_a_name_never_leaves_the_directory(registry: Registry, name: str) -> None:
    assert registry.get(name) is None
    with pytest.raises(ValueError, match="not the name of a server"):
        registry.log_path(name)


def test_start_times_keep_the_last_one_of_each_spec(tmp_path: Path) -> None:
    times = StartTimes(tmp_path)
    assert times.expected("a") is None
    times.remember("a", 3.0)
    times.remember("b", 4.0)
    times.remember("a", 2.5)
    assert StartTimes(tmp_path).expected("a") == 2.5
    assert times.expected("b") == 4.0
    (tmp_path / "start-times.json").write_text("[1")
    assert times.expected("a") is None
    times.remember("a", 1.0)
    assert times.expected("a") == 1.0
    times.remember("a", 0.3)
    assert times.expected("a") is None, "0 s of about 0 s tells nobody anything"
