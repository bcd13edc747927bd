"""A process is recognized by more than its pid."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from llm_magics.runtime import identity
from llm_magics.runtime.identity import Identity


def test_a_running_process_is_alive_and_an_ended_one_is_not() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    found = identity.of(child.pid)
    assert found is not None
    assert found.pid == child.pid
    assert found.alive()
    child.communicate(b"\n")
    assert not found.alive()


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    found = identity.of(child.pid)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has reaped it
    assert found is None or not found.alive()
    assert identity.of(child.pid) is None
    child.wait()


@pytest.mark.parametrize("lie", [{"ticks": 1}, {"boot_id": "x"}, {"pidns": 1}])
def test_the_same_pid_with_any_other_part_is_another_process(lie: dict[str, object]) -> None:
    assert identity.current().alive()
    assert not replace(identity.current(), **lie).alive()


def test_a_command_name_with_brackets_and_spaces_is_read_right(tmp_path: object) -> None:
    code = "import ctypes; ctypes.CDLL(None).prctl(15, b'a) S 1 (b', 0, 0, 0); print(flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    found = identity.of(child.pid)
    assert found is not None
    assert abs(found.ticks - identity.current().ticks) < 10**7
    assert found.ticks >= identity.current().ticks
    child.communicate(b"\n")


def test_an_identity_survives_json_and_ignores_other_keys() -> None:
    mine = identity.current()
    assert Identity.from_json({**mine.to_json(), "kernel_id": "x"}) == mine


@pytest.mark.parametrize("data", [None, {}, {"pid": "1"}, {"pid": True, "ticks": 1, "boot_id": "x", "pidns": 1}])
def test_what_is_no_identity_is_refused(data: dict[str, object] | None) -> None:
    with pytest.raises(ValueError, match="identity"):
        Identity.from_json(data)
