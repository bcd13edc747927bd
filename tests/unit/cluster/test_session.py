"""A cluster that does not let us in: three lines, within its time."""

from __future__ import annotations

import socket
import threading
import time
from types import SimpleNamespace

import pytest

from llm_magics.cluster import session
from llm_magics.errors import SpecError

# As Ray says them: ray/_private/utils.py (check_version_info) and ray/util/client/__init__.py of 2.60.
OTHER_VERSION = (
    "Version mismatch: The cluster was started with:\n    Ray: 2.40.0\n    Python: 3.12.1\n"
    "This process on node 10.0.0.9 was started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"
)


def test_another_version_is_said_with_both_and_the_remedy() -> None:
    error = session.refused(RuntimeError(OTHER_VERSION), "auto")
    assert "other versions of Ray or Python" in error.what
    assert "2.40.0" in error.why
    assert "3.11.7" in error.why
    assert "LLM_MAGICS_RAY_PYTHON" in error.then
    assert len(str(error).splitlines()) == 3


def test_no_cluster_is_said_with_its_address() -> None:
    error = session.refused(ConnectionError("Could not find any running Ray instance."), "auto")
    assert "No Ray cluster answers at auto" in error.what
    assert "ray start --head" in error.then


def test_nobody_at_the_address_is_found_out_at_once() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(SpecError, match=f"127.0.0.1:{port}"):
        session.Session(f"ray://127.0.0.1:{port}")
    assert time.monotonic() - began < 10  # Ray itself tries for half a minute


def test_the_head_s_usual_port_need_not_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert session.address_of("ray://head") == "ray://head:10001"
    assert session.address_of("ray://head:7") == "ray://head:7"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert session.address_of("ray") == "10.0.0.1:6379"
    monkeypatch.delenv("RAY_ADDRESS")
    assert session.address_of("ray") == "auto"


def test_a_port_behind_a_firewall_is_given_up_in_time_and_with_the_system_s_words() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # bound, not listening: refused, as a firewall that rejects does
        began = time.monotonic()
        assert "refused" in session.reach("127.0.0.1", sock.getsockname()[1], 0.5)
        assert time.monotonic() - began < 5
        assert session.reach("127.0.0.1", sock.getsockname()[1], 60.0, stop=lambda: True)


def test_a_farewell_to_a_cluster_that_is_gone_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    released, killed = threading.Event(), []

    class Gone:
        def kill(self, actor: str) -> None:
            killed.append(actor)

        def shutdown(self) -> None:
            released.wait(120)

        nodes = shutdown

    monkeypatch.setattr(session, "FAREWELL", 0.2)
    monkeypatch.setattr(session, "_HEAD", 0.2)
    stay = session.Session.__new__(session.Session)
    stay.ray, stay._held = Gone(), ["actor"]
    with stay:
        assert not stay.alive("node")
    assert not released.is_set()  # nobody waited for it
    assert killed == ["actor"]
    released.set()


@pytest.mark.parametrize("there", [True, False])
def test_an_answer_that_is_late_is_waited_for_while_the_cluster_sees_the_node(there: bool) -> None:
    class Late(Exception):  # noqa: N818 - Ray's own is named so
        pass

    asked: list[str] = []

    class Ray:
        exceptions = SimpleNamespace(GetTimeoutError=Late, RayActorError=KeyError, RaySystemError=KeyError)

        def get(self, reference: str, timeout: float) -> str:
            asked.append(reference)
            if len(asked) < 3:
                raise Late
            return "said"

        def nodes(self) -> list[dict[str, object]]:
            return [{"NodeID": "n", "NodeManagerAddress": "", "Resources": {}, "Alive": there}]

    stay = session.Session.__new__(session.Session)
    stay.ray = Ray()
    place = session.Place.__new__(session.Place)
    place.session, place.id = stay, "n"
    if there:
        assert place._got("call", 0.1) == "said"
        assert asked == ["call"] * 3  # the same call: its answer holds rows that come once
    else:
        with pytest.raises(session.NodeLost, match="not answered"):
            place._got("call", 0.1)


def test_what_a_cluster_has_is_said_node_by_node() -> None:
    nodes = [{"ip": "10.0.0.1", "resources": {"CPU": 8.0, "GPU": 2.0}}, {"ip": "10.0.0.2", "resources": {"CPU": 1.0}}]
    assert session.room(nodes) == "10.0.0.1: 8 CPU, 2 GPU; 10.0.0.2: 1 CPU, 0 GPU"
    assert session.room([]) == "no node"
