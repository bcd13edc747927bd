"""The engine's parent on a node: what runs there ends when nobody is at the other end, whatever it has started."""

from __future__ import annotations

import json
import mmap
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from llm_magics.runtime import ports, processes, scratch

HERE = Path(__file__).parent
ENGINE = """
import os, signal, socket, subprocess, sys, time
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
# a worker in a session of its own, as engines have them
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
if shared := os.environ.get("SHARED"):
    import mmap
    with open(shared, "w+b") as file:
        file.truncate(4096)
        held = mmap.mmap(file.fileno(), 4096)
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("the engine speaks", os.environ["GIVEN"], os.environ.get("STRANGER"), flush=True)
time.sleep(600)
"""


class Guarded:
    def __init__(self, mark: str, port: int, *words: str, patience: float = 0.0, **env: str) -> None:
        self.mark, self.port = mark, port
        src = str(HERE.parents[1] / "src")
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "llm_magics.runtime.node_guard"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": src, "STRANGER": "not for the engine"},
        )  # fmt: skip
        plan = {
            "argv": [sys.executable, "-c", ENGINE, "127.0.0.1", str(port), *words], "host": "127.0.0.1", "port": port,
            "env": {"GIVEN": "given", processes.MARK: mark, **env}, "grace": 1.0, "forget": [], "patience": patience,
        }  # fmt: skip
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(plan).encode() + b"\n")
        self.process.stdin.flush()

    def event(self) -> dict[str, Any]:
        assert self.process.stderr is not None
        found: dict[str, Any] = json.loads(self.process.stderr.readline())
        return found

    def hush(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def left(self) -> list[Any]:
        return processes.marked(self.mark)


@pytest.fixture
def guard() -> Iterator[Callable[..., Guarded]]:
    made: list[Guarded] = []

    def start(*words: str, port: int | None = None, **more: Any) -> Guarded:
        made.append(Guarded(secrets.token_hex(16), port or ports.free_port("127.0.0.1"), *words, **more))
        return made[-1]

    yield start
    for each in made:
        each.process.kill()
        each.process.wait()
        for stream in (each.process.stdin, each.process.stdout, each.process.stderr):
            if stream is not None:
                stream.close()
        processes.end(each.left)


@pytest.mark.parametrize("word", ["", "deaf"], ids=["it obeys", "it does not"])
def test_the_end_of_stdin_ends_the_engine_and_its_workers(guard: Callable[..., Guarded], word: str) -> None:
    here = guard(word)
    assert here.event() == {"listens": here.port}
    assert len(here.left()) == 2
    here.hush()
    assert "status" in here.event()
    assert here.process.wait(60) == 0
    assert not here.left()
    assert here.process.stdout is not None
    assert here.process.stdout.read() == b"the engine speaks given None\n"  # the node's own variables are not its


def test_a_guard_that_is_killed_takes_the_engine_with_it(guard: Callable[..., Guarded]) -> None:
    here = guard()
    here.event()
    engine = here.left()
    here.process.kill()
    until(lambda: not ports.held_by(here.port, [each.pid for each in engine]))


def test_a_port_that_somebody_else_has_is_said_before_anything_starts(guard: Callable[..., Guarded]) -> None:
    first = guard()
    first.event()
    second = guard(port=first.port)
    assert second.event() == {"taken": first.port}
    assert second.process.wait(60) == 1
    assert not second.left()


@pytest.mark.skipif(sys.platform != "linux", reason="shared memory is files on Linux")
def test_memory_shared_with_workers_that_ray_ends_goes_when_they_do(guard: Callable[..., Guarded]) -> None:
    shared = scratch.SHARED / f"llm-magics-guarded-{secrets.token_hex(6)}"
    others = shared.with_name(f"{shared.name}-others")
    here = guard(patience=60.0, SHARED=str(shared))
    try:
        here.event()
        with shared.open("r+b") as file, others.open("w+b") as own:
            own.truncate(4096)
            worker = mmap.mmap(file.fileno(), 4096)  # no child of the engine's: this process
            among_workers = mmap.mmap(own.fileno(), 4096)
        here.hush()
        assert "status" in here.event()
        assert here.process.wait(60) == 0  # nobody has to wait for the worker
        assert not here.left()
        assert shared.exists()
        assert others.exists()
        worker.close()
        among_workers.close()
        until(lambda: not shared.exists() and not others.exists())
    finally:
        shared.unlink(missing_ok=True)
        others.unlink(missing_ok=True)


def test_its_temporary_folder_goes_with_it(guard: Callable[..., Guarded]) -> None:
    here = guard()
    here.event()
    engine = here.left()[0]
    environment = Path(f"/proc/{engine.pid}/environ").read_bytes().split(b"\0")
    folder = next(Path(os.fsdecode(each[7:])) for each in environment if each.startswith(b"TMPDIR="))
    assert folder.is_dir()
    here.hush()
    here.process.wait(60)
    until(lambda: not folder.exists())
