"""Ports and who holds them."""

from __future__ import annotations

import os
import socket

import pytest

from llm_magics.runtime import ports


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_a_free_port_is_free_until_somebody_listens(host: str) -> None:
    port = ports.free_port(host)
    assert ports.is_free(host, port)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as server:
        server.bind((host, port))
        server.listen()
        assert not ports.is_free(host, port)
        assert f"(pid {os.getpid()})" in ports.holder(port)
        assert ports.held_by(port, [os.getpid()]) is True
        assert ports.held_by(port, [1]) is False
        assert ports.held_by(port, []) is False
    assert ports.is_free(host, port)
    assert ports.held_by(port, [os.getpid()]) is None


def test_taken_ports_are_not_chosen() -> None:
    first = ports.free_port("127.0.0.1")
    assert ports.free_port("127.0.0.1", {first}) != first


def test_a_port_nobody_listens_on_has_a_holder_that_cannot_be_seen() -> None:
    assert ports.holder(ports.free_port("127.0.0.1")) == "a process that this user cannot look into"
