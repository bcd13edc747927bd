"""Whether a server did anything: by its counters, or by the CPU time of its processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from listening import Quiet, listening

from llm_magics.engines.base import Engine, Metrics
from llm_magics.runtime import identity
from llm_magics.runtime.activity import Activity


class Counted(Engine):
    """An engine with metrics."""

    key = "counted"
    metrics = Metrics("/metrics", {"running": ("busy",), "output_tokens": ("tokens_total",)})


class _Page(Quiet, BaseHTTPRequestHandler):
    text = ""
    status = 200
    key = ""

    def do_GET(self) -> None:
        _Page.key = str(self.headers.get("Authorization"))
        self.say(_Page.text, _Page.status)


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr("llm_magics.runtime.activity._PATIENCE", 60.0)  # the page is a thread of a busy machine
    _Page.status = 200
    with listening(_Page) as server:
        yield server.server_port


def test_counters_that_move_and_running_requests_are_activity(port: int) -> None:
    activity = Activity(Counted(), "127.0.0.1", port, "the-key", list)
    _Page.text = "# HELP tokens_total x\nbusy 0\ntokens_total 5\n"
    assert activity.seen() is False  # the first look takes the measure
    assert _Page.key == "Bearer the-key"
    assert activity.seen() is False
    _Page.text = "busy 0\ntokens_total 9\n"
    assert activity.seen() is True
    assert activity.seen() is False
    _Page.text = "busy 1\ntokens_total 9\n"
    assert activity.seen() is True


def test_without_counters_cpu_time_decides(port: int) -> None:
    _Page.status = 404
    activity = Activity(Counted(), "127.0.0.1", port, None, lambda: [identity.current()])
    assert activity.seen() is False
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
    assert activity.seen() is True


def test_a_server_that_does_not_answer_is_judged_by_its_cpu_time() -> None:
    activity = Activity(Counted(), "127.0.0.1", 1, None, list)
    assert activity.seen() is False
    assert activity.seen() is False
