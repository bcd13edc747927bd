"""A cluster that does not let us in: three lines, within its time."""

from __future__ import annotations

import socket
import sys
import time
from types import SimpleNamespace

import pytest

from llm_magics.cluster import connecting
from llm_magics.errors import SpecError

# As Ray says them: ray/_private/utils.py (check_version_info) and ray/util/client/__init__.py of 2.60.
OTHER_VERSION = (
    "Version mismatch: The cluster was started with:\n    Ray: 2.40.0\n    Python: 3.12.1\n"
    "This process on node 10.0.0.9 was started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"
)


def test_another_version_is_said_with_both_and_the_remedy() -> None:
    error = connecting.refused(RuntimeError(OTHER_VERSION), "auto")
    assert "other versions of Ray or Python" in error.what
    assert "2.40.0" in error.why
    assert "3.11.7" in error.why
    assert "LLM_MAGICS_RAY_PYTHON" in error.then
    assert len(str(error).splitlines()) == 3


# As the server of ray:// says it: ray/util/client/server/proxier.py (DataServicerProxy.Datapath) of 2.60.
NO_DRIVER = """Initialization failure from server:
Traceback (most recent call last):
  File "ray/util/client/server/proxier.py", line 707, in Datapath
    raise RuntimeError(
RuntimeError: Starting Ray client server failed. See ray_client_server_23000.err for detailed logs.
"""


def test_a_head_that_cannot_start_our_driver_is_not_called_absent_and_its_reason_comes_without_its_traceback() -> None:
    error = connecting.refused(ConnectionAbortedError(NO_DRIVER), "ray://head:10001")
    assert "ray://head:10001 could not start a driver" in error.what
    assert error.why == NO_DRIVER.splitlines()[-1]
    assert "--on ray" in error.then


DEAD_BY_THEN = """Initialization failure from server:
Traceback (most recent call last):
  File "ray/util/client/server/proxier.py", line 396, in start_specific_server
    cmd = psutil_proc.cmdline()
psutil.ZombieProcess: PID still exists but it's a zombie (pid=24818)
"""


@pytest.mark.parametrize("said", [NO_DRIVER, DEAD_BY_THEN])
def test_a_driver_that_died_at_its_birth_is_asked_for_again(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def init(address: str, **_: object) -> None:
        asked.append(address)
        if len(asked) < 3:
            raise ConnectionAbortedError(said)

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init))
    monkeypatch.setattr(connecting, "_knock", lambda address: None)
    monkeypatch.setattr(connecting, "_leave_no_log_behind", lambda: None)
    assert connecting.connected("ray://head:10001").init is init
    assert len(asked) == 3


def test_what_another_try_does_not_mend_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def init(address: str, **_: object) -> None:
        asked.append(address)
        raise RuntimeError(OTHER_VERSION)

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init))
    with pytest.raises(SpecError, match="other versions"):
        connecting.connected("auto")
    assert len(asked) == 1


def test_no_cluster_is_said_with_its_address() -> None:
    error = connecting.refused(ConnectionError("Could not find any running Ray instance."), "auto")
    assert "No Ray cluster answers at auto" in error.what
    assert "ray start --head" in error.then


def test_nobody_at_the_address_is_found_out_at_once() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(SpecError, match=f"127.0.0.1:{port}"):
        connecting.connected(f"ray://127.0.0.1:{port}")
    assert time.monotonic() - began < 25  # Ray itself tries for half a minute


def test_the_head_s_usual_port_need_not_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connecting.address_of("ray://head") == "ray://head:10001"
    assert connecting.address_of("ray://head:7") == "ray://head:7"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert connecting.address_of("ray") == "10.0.0.1:6379"
    monkeypatch.delenv("RAY_ADDRESS")
    assert connecting.address_of("ray") == "auto"
