"""Looking again and again: the same as the registry's own list, without reading what did not change."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llm_magics.runtime import identity, watching
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.runtime.watching import Watch


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


def test_it_says_what_the_list_says(registry: Registry) -> None:
    registry.write(record("b", created=2.0))
    registry.write(record("a", created=3.0, state="stopped"))
    registry.write(record("gone", supervisor={**identity.current().to_json(), "ticks": 1}))
    (registry.directory / "broken.json").write_text("{")
    (registry.directory / "b.log").write_text("x")
    assert Watch(registry).look() == registry.list()


def test_what_did_not_change_is_read_once(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.write(record("a"))
    registry.write(record("b"))
    watch, read = Watch(registry), []
    original = Registry.read
    monkeypatch.setattr(Registry, "read", lambda self, name: read.append(name) or original(self, name))
    watch.look()
    watch.look()
    assert sorted(read) == ["a", "b"]
    registry.write(record("b", stage="now"))
    assert [each.stage for each in watch.look()] == ["", "now"]
    assert read.count("a") == 1


def test_a_record_that_goes_is_gone_and_a_new_one_of_its_name_is_new(registry: Registry) -> None:
    registry.write(record("a"))
    watch = Watch(registry)
    watch.look()
    (registry.directory / "a.json").unlink()
    assert watch.look() == []
    registry.write(record("a", id="2"))
    assert [each.id for each in watch.look()] == ["2"]


def test_a_killed_supervisor_is_seen_though_nothing_was_written(registry: Registry) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        registry.write(record("a", supervisor=identity.of(process.pid).to_json()))  # type: ignore[union-attr]
        watch = Watch(registry)
        assert [each.state for each in watch.look()] == ["ready"]
        process.kill()
    assert [each.state for each in watch.look()] == ["lost"]


def test_a_directory_that_is_not_there_is_no_empty_list(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        Watch(Registry(tmp_path / "nowhere")).look()


@pytest.fixture
def listings(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every time that the directory is listed; looks that follow at once are far apart."""
    seen: list[object] = []
    scandir = os.scandir
    monkeypatch.setattr(watching.os, "scandir", lambda path: seen.append(path) or scandir(path))
    monkeypatch.setattr(watching, "_GRAIN", 0.0)
    monkeypatch.setattr(watching, "_SURE", 1e6)
    return seen


def test_a_directory_that_stands_still_is_not_even_listed(registry: Registry, listings: list[object]) -> None:
    registry.write(record("a"))
    watch = Watch(registry)
    first = watch.look()
    listings.clear()
    (again,) = watch.look()
    assert again is first[0]
    assert listings == []
    for change, states in ((record("a", state="stopping"), ["stopping"]), (record("b"), ["stopping", "ready"])):
        registry.write(change)
        assert [each.state for each in watch.look()] == states
    (registry.directory / "a.json").unlink()
    assert [each.name for each in watch.look()] == ["b"]
    assert len(listings) == 3


def test_two_changes_of_one_moment_are_both_seen(
    registry: Registry, listings: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the clock of a file system is coarse, the second one leaves the directory's time as it was."""
    monkeypatch.setattr(watching, "_GRAIN", 1e6)
    registry.write(record("a"))
    watch = Watch(registry)
    watch.look()
    moment = registry.directory.stat()
    registry.write(record("a", stage="later"))
    os.utime(registry.directory, ns=(moment.st_atime_ns, moment.st_mtime_ns))
    assert [each.stage for each in watch.look()] == ["later"]


def test_what_was_changed_in_place_is_seen_too(
    registry: Registry, listings: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.write(record("a"))
    watch = Watch(registry)
    watch.look()
    file = registry.directory / "a.json"
    file.write_text(file.read_text().replace('"ready"', '"stopping"'))
    monkeypatch.setattr(watching, "_SURE", 0.0)
    assert [each.state for each in watch.look()] == ["stopping"]


def test_a_directory_that_went_is_told_at_every_look(registry: Registry, listings: list[object]) -> None:
    registry.write(record("a"))
    watch = Watch(registry)
    watch.look()
    registry.directory.rename(registry.directory.with_name("away"))
    registry.directory.write_text("a file where the directory was")
    for _ in range(3):
        with pytest.raises(OSError, match="irectory"):
            watch.look()
