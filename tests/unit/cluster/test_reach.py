"""Ports that do not answer."""

from __future__ import annotations

import socket
import time

from llm_magics.cluster.reach import reach


def test_a_port_behind_a_firewall_is_given_up_in_time_and_with_the_system_s_words() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # bound, not listening: refused, as a firewall that rejects does
        began = time.monotonic()
        assert "refused" in reach("127.0.0.1", sock.getsockname()[1], 0.5)
        assert time.monotonic() - began < 30
        assert reach("127.0.0.1", sock.getsockname()[1], 60.0, stop=lambda: True)
