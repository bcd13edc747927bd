"""What an engine leaves on disks and in shared memory goes with it, whichever of the processes was killed."""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import scripted_engine
from waiting import until

from llm_magics.engines.base import Command
from llm_magics.runtime import scratch
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.runtime.stop import stop

if TYPE_CHECKING:
    from conftest import Servers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="shared memory as files is Linux's")


def littering(servers: Servers, folder: Path) -> tuple[Record, list[Path]]:
    """A server that leaves files in its temporary folder, in one of the user's, and in shared memory."""

    def build(port: int) -> Command:
        return replace(scripted_engine.command(port, "--litter", str(folder)), scratch=[str(folder)])

    record = servers.start(build=build)
    log = servers.registry.log_path("s").read_text()
    memory, semaphore = re.findall(r"(?:shared memory|semaphore) (\S+)", log)
    own = Path(tempfile.gettempdir()) / f"llm-magics-{record.id[:12]}"
    left = [own, *folder.glob("llm-magics-*"), scratch.SHARED / memory, scratch.SHARED / semaphore]
    assert len(left) == 4
    assert all(path.exists() for path in left)
    assert list(own.glob("scripted-*/repository")), "its temporary files are in its own folder"
    until(lambda: (now := servers.registry.read("s")) and memory in now.shared)
    return record, left


def kill_engine(record: Record) -> None:
    os.kill(int((record.process or {})["pid"]), signal.SIGKILL)


def kill_supervisor(record: Record) -> None:
    os.kill(int(record.supervisor["pid"]), signal.SIGKILL)


def kill_everything(record: Record) -> None:
    os.kill(int(record.supervisor["pid"]), signal.SIGSTOP)  # it must not see the engine die
    kill_engine(record)
    kill_supervisor(record)


def ask(record: Record) -> None:
    stop(record.name)


@pytest.mark.parametrize("end", [ask, kill_engine, kill_supervisor, kill_everything])
def test_nothing_of_it_stays(servers: Servers, tmp_path: Path, end: Callable[[Record], None]) -> None:
    (tmp_path / "mine").write_text("the user's own")
    record, left = littering(servers, tmp_path)
    end(record)
    until(lambda: (now := Registry().get("s")) and not now.alive)  # whoever looks clears up
    until(lambda: not [path for path in left if path.exists()])
    stop("s")  # a lost server's key is kept until somebody says so
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["mine"]


def test_shared_memory_that_another_process_uses_is_left_alone(servers: Servers, tmp_path: Path) -> None:
    from multiprocessing.shared_memory import SharedMemory

    _, left = littering(servers, tmp_path)
    held = SharedMemory(name=left[2].name)  # mapped here
    try:
        stop("s")
        assert left[2].exists()
        assert not left[0].exists()
    finally:
        held.close()
        held.unlink()


def test_a_record_removes_nothing_that_is_not_named_after_its_server(servers: Servers, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    record = servers.start()
    stop("s")
    lying = replace(record, id="", scratch=[str(tmp_path)], shared=["../etc/passwd", ".."])
    scratch.clear(lying)
    scratch.clear(replace(lying, id="*" * 32))
    scratch.clear(replace(lying, id="0" * 32))
    assert old.exists()


def test_a_restarted_machine_has_files_left_and_no_processes(servers: Servers, tmp_path: Path) -> None:
    record = servers.start()
    stop("s")
    left = tmp_path / f"llm-magics-{record.id[:12]}-zero-x"
    left.mkdir()
    before = {**record.supervisor, "boot_id": "another"}
    servers.registry.write(replace(record, state="ready", supervisor=before, scratch=[str(tmp_path)]))
    assert servers.registry.get("s").state == "lost"
    assert not left.exists()
    left.mkdir()
    servers.registry.write(
        replace(record, state="ready", supervisor=before, scratch=[str(tmp_path)], host="another machine")
    )
    assert servers.registry.get("s").state == "elsewhere"
    os.utime(servers.registry.directory / "s.json", (0, 0))  # nothing was heard of it for long
    assert servers.registry.get("s").state == "lost"
    assert left.exists(), "another machine's server may still use it"


def test_the_temporary_folder_of_the_user_is_the_one_it_is_in(tmp_path: Path) -> None:
    found = scratch.variables("0123456789abcdef", {"TMPDIR": "/fast"})
    assert found == {
        "TMPDIR": "/fast/llm-magics-0123456789ab",
        "TORCHINDUCTOR_CACHE_DIR": found["TORCHINDUCTOR_CACHE_DIR"],
    }
    assert found["TORCHINDUCTOR_CACHE_DIR"].startswith("/fast/torchinductor_")
    assert scratch.variables("0123456789abcdef", {"TMPDIR": "/long" * 20}) == {}, "a socket's name would not fit"
    assert "TORCHINDUCTOR_CACHE_DIR" not in scratch.variables("0" * 16, {"TORCHINDUCTOR_CACHE_DIR": "/mine"})
