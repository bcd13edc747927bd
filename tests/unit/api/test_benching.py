"""A run whose server was killed says so, however quickly the rest of its requests were refused."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_magics.api import benching
from llm_magics.api.targets import Target
from llm_magics.load import measure
from llm_magics.load.endpoint import Endpoint
from llm_magics.results import spool
from llm_magics.results.columns import ERROR
from llm_magics.results.run import Run
from llm_magics.results.run_rows import row_of
from llm_magics.spec import Workload
from llm_magics.views import tables

sys.path.insert(0, str(Path(__file__).parents[1] / "results"))

from synthetic import synthetic_run

KILLED = "the engine was ended by SIGKILL"
REFUSED = 30


def refused_at_the_end(http_status: int = -1) -> Run:
    run = synthetic_run(concurrency=[2], requests=40)
    last = np.argsort(run.columns.done)[-REFUSED:]
    status, answered = run.columns.status.copy(), run.columns.http_status.copy()
    status[last], answered[last] = ERROR, http_status
    return Run({**run.header, "watched": True}, replace(run.columns, status=status, http_status=answered),
               windows=run.windows, audits=run.audits)  # fmt: skip


@pytest.fixture
def port() -> Iterator[socket.socket]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        yield found


def measured(monkeypatch: pytest.MonkeyPatch, run: Run, port: socket.socket, ended: Any) -> Run:
    monkeypatch.setattr(measure, "measure", lambda *_, **__: run.status)
    monkeypatch.setattr(spool, "read", lambda _: run)
    endpoint = Endpoint(url=f"http://127.0.0.1:{port.getsockname()[1]}", model="m")
    target = Target("tiny", endpoint, ended=ended)
    found: tuple[Run, Path] = benching.spooled(target, endpoint, Workload(), run.header, on_progress=lambda _: None)
    return found[0]


def test_how_a_killed_server_ended_is_waited_for(monkeypatch: pytest.MonkeyPatch, port: socket.socket) -> None:
    """Its supervisor clears up first: all requests are over before the record says what became of it."""
    words = iter([None, None, None])
    run = measured(monkeypatch, refused_at_the_end(), port, lambda: next(words, KILLED))
    assert run.header["server_ended"] == KILLED
    assert run.partial
    assert KILLED in run.flags[0]
    assert KILLED in str(run).splitlines()[1]
    listed = str(tables.runs([row_of(run)]))
    assert "partial" in listed
    assert f"40 ({REFUSED} failed)" in listed


def test_an_interrupt_while_its_word_is_waited_for_keeps_what_was_measured(
    monkeypatch: pytest.MonkeyPatch, port: socket.socket
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    run = measured(monkeypatch, refused_at_the_end(), port, interrupted)
    assert run.status == "cancelled"
    assert "server_ended" not in run.header
    assert len(run.measured) == 40


@pytest.mark.parametrize("http_status", [-1, 503])
def test_one_that_listens_still_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, port: socket.socket, http_status: int
) -> None:
    port.listen()
    asked: list[int] = []
    run = measured(monkeypatch, refused_at_the_end(http_status), port, lambda: asked.append(1))
    assert len(asked) == 1
    assert not run.partial
    assert "server_ended" not in run.header


def test_one_that_was_stopped_after_its_last_answer_leaves_a_whole_run(
    monkeypatch: pytest.MonkeyPatch, port: socket.socket
) -> None:
    run = measured(monkeypatch, synthetic_run(concurrency=[2]), port, lambda: "it was stopped")
    assert run.header["server_ended"] == "it was stopped"
    assert not run.partial
