"""A stay on a cluster: it ends, and what is there is said in words."""

from __future__ import annotations

import threading

import pytest

from llm_magics.cluster import session


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


def test_what_a_cluster_has_is_said_node_by_node() -> None:
    nodes = [{"ip": "10.0.0.1", "resources": {"CPU": 8.0, "GPU": 2.0}}, {"ip": "10.0.0.2", "resources": {"CPU": 1.0}}]
    assert session.room(nodes) == "10.0.0.1: 8 CPU, 2 GPU; 10.0.0.2: 1 CPU, 0 GPU"
    assert session.room([]) == "no node"
