"""Owners: the kernel or script whose server it is."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from llm_magics.runtime import identity, lifetime
from llm_magics.runtime.owner import adopt, current_owner, only_mine, owned
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry

DEAD = {**identity.current().to_json(), "ticks": 1, "kernel_id": "before"}


def record(**changes: Any) -> Record:
    return Record(
        **{
            "name": "s", "engine": "e", "model": "m", "state": "ready", "created": 0.0, "host": "h", "reuse_key": "k",
            "spec": {}, "supervisor": identity.current().to_json(), **changes,
        }
    )  # fmt: skip


def test_a_script_is_an_owner_without_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.setattr(sys, "argv", ["script.py"])
    monkeypatch.delitem(sys.modules, "ipykernel.kernelapp", raising=False)
    assert current_owner() == {**identity.current().to_json(), "cwd": str(Path.cwd())}


def test_a_kernel_is_known_by_its_connection_file_and_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/me/work.ipynb")
    monkeypatch.delitem(sys.modules, "ipykernel.kernelapp", raising=False)
    monkeypatch.setattr(sys, "argv", ["launcher.py", "-f", "/run/kernel-1f2e-77.json"])
    owner = current_owner()
    assert (owner["kernel_id"], owner["notebook"]) == ("1f2e-77", "/home/me/work.ipynb")


def test_a_loaded_ipykernel_is_asked_and_vs_codes_path_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    app = types.SimpleNamespace(
        initialized=lambda: True, instance=lambda: types.SimpleNamespace(connection_file="/run/kernel-abc.json")
    )
    monkeypatch.setitem(sys.modules, "ipykernel.kernelapp", types.SimpleNamespace(IPKernelApp=app))  # type: ignore[arg-type]
    monkeypatch.setenv("JPY_SESSION_NAME", "other")
    monkeypatch.setattr(sys.modules["__main__"], "__vsc_ipynb_file__", "/home/me/code.ipynb", raising=False)
    owner = current_owner()
    assert (owner["kernel_id"], owner["notebook"]) == ("abc", "/home/me/code.ipynb")


def test_a_connection_file_of_another_name_is_no_kernel_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ipykernel.kernelapp", raising=False)
    monkeypatch.setattr(sys, "argv", ["launcher.py", "-f", "/tmp/tmpab12.json"])  # as nbclient names it
    assert "kernel_id" not in current_owner()


def test_a_new_owner_replaces_those_that_ended_and_comes_once() -> None:
    mine = current_owner()
    other = {**identity.of(os.getppid()).to_json(), "kernel_id": "neighbour"}  # type: ignore[union-attr]
    assert owned(record(owners=[DEAD, {"bad": 1}, other, mine]), mine).owners == [other, mine]


def test_adoption_is_written_for_running_servers_only(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.write(record(owners=[DEAD]))
    assert [owner["pid"] for owner in adopt("s", registry=registry).owners] == [os.getpid()]
    registry.write(record(owners=[DEAD], state="stopped"))
    assert adopt("s", registry=registry).owners == [DEAD]
    with pytest.raises(KeyError):
        adopt("other", registry=registry)


def test_neither_ipython_nor_heavy_packages_are_imported() -> None:
    code = """
import sys
import llm_magics.runtime.launch, llm_magics.runtime.server, llm_magics.runtime.gpus, llm_magics.runtime.owner
llm_magics.runtime.owner.current_owner()
heavy = {"IPython", "ipykernel", "plotly", "pandas", "openai", "pydantic", "torch", "psutil", "numpy", "ssl"}
print(sorted(heavy & set(sys.modules)))
import llm_magics.runtime.supervisor
print(sorted(heavy & set(sys.modules)))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["[]", "[]"]


def test_what_nobody_else_uses_is_mine_and_what_the_kernel_before_a_restart_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    me = current_owner()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as other:
        living = identity.of(other.pid).to_json()  # type: ignore[union-attr]
        assert only_mine(record(starter=me, owners=[me]))
        assert only_mine(record(starter=me, owners=[DEAD]))
        assert not only_mine(record(starter=living, owners=[living]))
        assert not only_mine(record(starter=me, owners=[me, living]))
        assert not only_mine(record(starter=DEAD, owners=[DEAD, me]))
        assert not only_mine(record(starter={**DEAD, "kernel_id": None}, owners=[me]))
        monkeypatch.setattr("llm_magics.runtime.owner._kernel_id", lambda: "before")
        assert only_mine(record(starter=DEAD, owners=[DEAD]))
        assert not only_mine(record(starter=DEAD, owners=[DEAD, living]))
        other.kill()


@pytest.mark.parametrize("starter", [DEAD, {}])
def test_a_server_that_is_only_measured_here_does_not_become_mine(tmp_path: Path, starter: dict[str, Any]) -> None:
    """Whoever started it, or an older version that did not write it down, is gone, and this is its one owner now."""
    registry = Registry(tmp_path)
    written = record(starter=starter, owners=[DEAD], keep="detached").to_json()
    registry.write(Record.from_json({key: value for key, value in written.items() if value or key != "starter"}))
    found = adopt("s", registry=registry)
    assert [owner["pid"] for owner in found.owners] == [os.getpid()]
    assert found.starter == starter
    assert not only_mine(found)


@pytest.mark.parametrize(
    ("announced", "off"),
    [
        ({"stops_why": lifetime.ORPHANED}, True),
        ({"stops_why": lifetime.ORPHANED_OF_SHELL, "idle": 60.0}, True),
        ({"stops_why": lifetime.KEPT}, True),
        ({"stops_why": lifetime.KEPT, "idle": 60.0}, False),
        ({"stops_why": lifetime.IDLE, "idle": 60.0}, False),
        ({"stops_why": lifetime.ORPHANED, "state": "stopping"}, False),
    ],
)
def test_a_stop_that_was_announced_for_want_of_an_owner_is_off_with_the_new_one(
    tmp_path: Path, announced: dict[str, Any], off: bool
) -> None:
    """Who takes a server back looks at its record at once, long before its supervisor does."""
    registry = Registry(tmp_path)
    before = record(owners=[DEAD], stops_at=700.0, **announced)
    registry.write(before)
    found = adopt("s", registry=registry)
    assert (found.stops_at, found.stops_why) == ((None, "") if off else (700.0, before.stops_why))
