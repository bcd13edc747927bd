"""The commands of Prometheus and Alertmanager."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_magics.monitor.home import Home
from llm_magics.monitor.programs import Program, prometheus


@pytest.mark.parametrize(("every", "present"), [(1, "30s"), (7.5, "30s"), (15, "60s"), (60, "240s")])
def test_the_last_words_of_servers_that_are_gone_are_not_the_present_of_the_next_start(
    tmp_path: Path, every: float, present: str
) -> None:
    program = Program("prometheus", ("/bin/prometheus",), "2.42.0")
    command = prometheus(program, Home(tmp_path), 9090, every=every, retention=86400, size=512)
    assert f"--query.lookback-delta={present}" in command


@pytest.mark.parametrize(("every", "again"), [(1, "10s"), (30, "30s")])
def test_an_alert_that_did_not_get_through_is_told_again_soon(tmp_path: Path, every: float, again: str) -> None:
    program = Program("prometheus", ("/bin/prometheus",), "2.42.0")
    command = prometheus(program, Home(tmp_path), 9090, every=every, retention=86400, size=512)
    assert f"--rules.alert.resend-delay={again}" in command
