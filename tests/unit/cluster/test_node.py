"""What carries words between a driver and a process on a node; the class needs no Ray to be tried."""

from __future__ import annotations

import io
import os
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_magics.cluster import parcel
from llm_magics.cluster.node import PREFIX, Node

ECHO = """
import os, sys
plan = b""
while not plan.endswith(b"\\n"):
    plan += os.read(0, 1) or sys.exit("no plan")
os.write(1, plan)
while data := os.read(0, 4096):
    os.write(1, data)
os.write(2, b"bye\\n")
if b"spool" in plan:
    import json
    os.write(json.loads(plan)["spool"], b"row\\n")
sys.exit(int(b"fail" in plan) * 9)
"""


def sent() -> bytes:
    archive = io.BytesIO(parcel.pack())
    with zipfile.ZipFile(archive, "a") as more:
        more.writestr("echo_back.py", ECHO)
    return archive.getvalue()


@pytest.fixture
def node() -> Iterator[Node]:
    found = Node(lease=60.0)
    yield found
    found.hush()
    found.clear()


def everything(node: Node, seconds: float = 60.0) -> dict[str, bytes]:
    said, until = {"out": b"", "err": b"", "rows": b""}, time.monotonic() + seconds
    while time.monotonic() < until:
        news = node.follow(0.5)
        for name in said:
            said[name] += news[name]
        if news["ended"]:
            return said
    raise AssertionError(f"it has not ended: {said}")


def test_words_go_both_ways_and_the_end_brings_the_status_and_takes_the_parcel(node: Node) -> None:
    folder = Path(node.unpack(sent()))
    assert folder.stat().st_mode & 0o077 == 0
    node.start("echo_back", {"fail": 1}, {})
    node.say(b"more\n")
    node.hush()
    said = everything(node)
    assert said["out"] == b'{"fail": 1}\nmore\n'
    assert said["err"] == b'bye\n\n{"exit": 9}\n'
    assert not folder.exists()


def test_rows_that_were_written_to_its_file_come_though_the_file_is_gone(node: Node) -> None:
    node.unpack(sent())
    node.start("echo_back", {}, {}, rows=True)
    node.hush()
    assert everything(node)["rows"] == b"row\n"


def test_who_is_followed_by_nobody_is_told_to_end() -> None:
    node = Node(lease=0.4)
    folder = Path(node.unpack(sent()))
    node.start("echo_back", {}, {})
    until = time.monotonic() + 60
    while folder.exists() and time.monotonic() < until:
        time.sleep(0.1)  # nobody asks: the driver is gone
    assert not folder.exists()


def test_a_start_that_takes_longer_than_the_lease_still_brings_its_plan() -> None:
    """Whoever starts something waits for that, and asks for no words meanwhile: on a busy node for long."""
    node = Node(lease=0.0)
    node.unpack(sent())
    node.start("echo_back", {"a": 1}, {})
    assert everything(node)["out"] == b'{"a": 1}\n'


def test_a_parcel_that_nobody_holds_any_more_goes_with_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An actor that is killed before it started anything leaves its folder; one in use, or just made, is left alone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    used, left, fresh = Node(lease=60.0), tmp_path / f"{PREFIX}left", tmp_path / f"{PREFIX}fresh"
    running = Path(used.unpack(sent()))
    used.start("echo_back", {}, {})
    for folder in (left, fresh):
        folder.mkdir()
        (folder / "code.py").touch()
    for folder in (left, running):
        os.utime(folder, (1.0, 1.0))
    assert used._held is not None
    os.close(used._held)  # the actor is killed: what it started still holds the folder
    used._held = None
    another = Node(lease=60.0)
    another.unpack(sent())
    assert not left.exists()
    assert fresh.exists()
    assert running.exists()
    another.clear()
    used.hush()
    everything(used)
    assert not running.exists()


def test_a_module_that_breaks_says_why(node: Node) -> None:
    node.unpack(sent())
    node.start("no_such_module", {}, {})
    said = everything(node)
    assert b"no_such_module" in said["err"]
    assert said["err"].endswith(b'{"exit": 1}\n')
