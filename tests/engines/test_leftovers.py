"""Engines whose launcher is killed, or that clear nothing up themselves: nothing stays on disks or in memory."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest

import llm_magics
from llm_magics.runtime import processes, scratch
from llm_magics.runtime.registry import Registry
from llm_magics.runtime.stop import stop

pytestmark = [
    pytest.mark.extra_engine,
    pytest.mark.skipif(sys.platform != "linux", reason="shared memory as files is Linux's"),
]
SHARED = Path("/dev/shm")


def left(server: str, before: set[Path], seconds: float = 20.0) -> set[Path]:
    """What a server left: its folders, and new shared memory that no living process uses (others run engines too)."""
    until = time.monotonic() + seconds
    while True:
        used = scratch._in_use()
        shared = {path for path in SHARED.iterdir() if path.name not in used} - before
        found = {*shared, *Path(tempfile.gettempdir()).glob(f"{scratch.name(server)}*")}
        if not found or time.monotonic() > until:
            return found
        Registry().list()
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("engine", "who"),
    [
        *(pytest.param("triton", who, marks=pytest.mark.engine("triton"))
          for who in ("launcher", "supervisor", "everything", "nobody")),
        *(pytest.param("sglang", who, marks=pytest.mark.engine("sglang")) for who in ("supervisor", "nobody")),
        pytest.param("vllm", "supervisor", marks=pytest.mark.engine("vllm")),
    ],
)  # fmt: skip
def test_whoever_is_killed_nothing_stays(engine: str, who: str) -> None:
    before = set(SHARED.iterdir())
    server = llm_magics.serve("probe", engine=engine, keep="cell", timeout=400.0)
    record = server.record
    kill(record.supervisor["pid"], record.process["pid"], who)
    stop("probe")
    assert left(record.id, before) == set()
    assert not list(processes.marked(record.id)), "what a living process of its own used would not have been seen"


@pytest.mark.engine("deepspeed")
@pytest.mark.parametrize("who", ["launcher", "everything"])
def test_offloaded_weights_do_not_stay(who: str, tmp_path: Path) -> None:
    words = ["--offload", "nvme", "--nvme-path", str(tmp_path)]
    server = llm_magics.serve("probe", engine="deepspeed", keep="cell", args=words, timeout=3600.0)
    assert list(tmp_path.rglob("*.swp"))
    record = server.record
    kill(record.supervisor["pid"], record.process["pid"], who)
    stop("probe")
    assert list(tmp_path.iterdir()) == []


def kill(supervisor: int, launcher: int, who: str) -> None:
    if who == "everything":
        os.kill(supervisor, signal.SIGSTOP)  # it must not see the other end
    if who in ("launcher", "everything"):
        os.kill(launcher, signal.SIGKILL)
    if who in ("supervisor", "everything"):
        os.kill(supervisor, signal.SIGKILL)
    until = time.monotonic() + 30
    while who != "nobody" and time.monotonic() < until and (now := Registry().get("probe")) and now.alive:
        time.sleep(0.1)
