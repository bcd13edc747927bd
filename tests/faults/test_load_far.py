"""A load made on several nodes is one run: one clock, every request once; and what happens when a node goes."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted_api import ScriptedApi, Talk, pause
from test_load_interrupt import slow

from llm_magics.errors import SpecError
from llm_magics.load import workers as running
from llm_magics.load.endpoint import Endpoint
from llm_magics.load.measure import measure
from llm_magics.results import spool as reading
from llm_magics.spec.workload import Workload
from llm_magics.views import audit

NEAR = Path(__file__).with_name("near_cluster.py")


def quick(talk: Talk) -> None:
    talk.start()
    for _ in range(talk.tokens):
        pause(0.02)
        talk.words(1)
    talk.finish()


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with ScriptedApi(quick).running() as server:
        yield server


@pytest.fixture
def near(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def script(**words: Any) -> None:
        monkeypatch.setenv("NEAR", json.dumps(words))

    monkeypatch.setattr(running.python, "command", lambda module: [sys.executable, str(NEAR)])
    return script


def rows(path: Path, kind: str) -> list[dict[str, Any]]:
    return [row for line in path.read_text().splitlines() if (row := json.loads(line))["kind"] == kind]


def test_two_nodes_make_one_run_on_one_clock(api: ScriptedApi, near: Callable[..., None], tmp_path: Path) -> None:
    skew = [0.3, 1.9]  # ahead: what "began" an hour ago on their clocks would be sent at once
    near(skew=skew)
    work = Workload(rate=20, requests=30, input_tokens=20, output_tokens=4, workers_on="ray", warmup=2)
    spool = tmp_path / "run.jsonl"
    assert measure(Endpoint(api.url, "m"), work, spool, header={}) == "complete"
    run = reading.read(spool)
    assert sorted(run.measured.index) == list(range(2, 32))
    assert (run.measured.status == 0).all()
    # More than a second lies between the clocks; on the run's, both began together.
    starts = [row["start"] for row in rows(spool, "window")]
    assert len(starts) == 2
    assert abs(starts[0] - starts[1]) < 0.02
    gaps = [b - a for a, b in zip(sorted(run.measured.intended), sorted(run.measured.intended)[1:], strict=False)]
    assert max(gaps) < 0.6  # arrivals of both interleave, as one schedule had them
    for node, truth in zip(run.header["nodes"], skew, strict=True):
        assert abs(node["offset"] - truth) <= node["error"]
        assert node["error"] < 0.02
        assert node["requests"] == 16
    assert run.audits[0].workers == 2
    assert "10.0.0.2: 16 requests" in audit.text(run)


def test_a_node_lost_in_the_middle_costs_its_requests_and_says_so(
    api: ScriptedApi, near: Callable[..., None], tmp_path: Path
) -> None:
    near(skew=[0.0, 0.0], lose={"1": 8.0})
    work = Workload(rate=20, requests=2400, input_tokens=20, output_tokens=8, workers_on="ray", warmup=0)
    spool = tmp_path / "run.jsonl"
    began = time.monotonic()
    assert measure(Endpoint(api.url, "m"), work, spool, header={}) == "failed"
    assert time.monotonic() - began < 100  # of 120 s: the rest of the run was not waited for
    run = reading.read(spool)
    assert run.partial
    assert any("the node 10.0.0.2 was lost (the node is gone)" in flag for flag in run.flags)
    lost = [
        row for row in rows(spool, "request") if row.get("error") == "lost with its node 10.0.0.2: the node is gone"
    ]
    assert lost
    assert {row["index"] % 2 for row in lost} == {1}
    assert {row["status"] for row in lost} == {"cancelled"}
    indexes = [row["index"] for row in rows(spool, "request")]
    assert len(indexes) == len(set(indexes))
    assert "lost (the node is gone)" in audit.text(run)


@pytest.mark.parametrize("method", ["unpack", "clock", "start"])
def test_a_node_lost_before_the_load_begins_is_named(
    api: ScriptedApi, near: Callable[..., None], tmp_path: Path, method: str
) -> None:
    near(skew=[0.0, 0.0], gone={"1": method})
    work = Workload(rate=20, requests=40, input_tokens=20, output_tokens=8, workers_on="ray", warmup=0)
    with pytest.raises(SpecError, match=r"The node 10\.0\.0\.2 was lost before the load began"):
        measure(Endpoint(api.url, "m"), work, tmp_path / "run.jsonl", header={})


def test_of_streams_what_was_under_way_is_lost(near: Callable[..., None], tmp_path: Path) -> None:
    near(skew=[0.0, 0.0], lose={"0": 8.0})
    with ScriptedApi(slow).running() as api:
        work = Workload(concurrency=4, requests=100_000, input_tokens=20, output_tokens=4, workers_on="ray", warmup=0)
        spool = tmp_path / "run.jsonl"
        assert measure(Endpoint(api.url, "m"), work, spool, header={}) == "failed"
    lost = [row for row in rows(spool, "request") if "lost with its node" in row.get("error", "")]
    assert 1 <= len(lost) <= 2  # its two streams, less one that had ended just then
    assert {row["index"] % 2 for row in lost} == {0}


def test_a_cancelled_run_ends_everywhere_and_keeps_what_was_measured(near: Callable[..., None], tmp_path: Path) -> None:
    near(skew=[0.0, 0.0])
    cancel = threading.Event()
    with ScriptedApi(slow).running() as api:
        work = Workload(concurrency=4, requests=100_000, input_tokens=20, output_tokens=4, workers_on="ray", warmup=0)
        spool = tmp_path / "run.jsonl"
        status = measure(
            Endpoint(api.url, "m"), work, spool, header={}, cancel=cancel,
            on_progress=lambda progress: cancel.set() if progress.done > 40 else None,
        )  # fmt: skip
    assert status == "cancelled"
    found = rows(spool, "request")
    assert {row["index"] % 2 for row in found if row["status"] == "ok"} == {0, 1}
    assert sum(row["status"] == "cancelled" for row in found) == 4


def test_a_server_that_the_nodes_cannot_reach_is_no_run(
    api: ScriptedApi, near: Callable[..., None], tmp_path: Path
) -> None:
    spool = tmp_path / "run.jsonl"
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        near(skew=[0.0], closed=sock.getsockname()[1])
        work = Workload(concurrency=1, requests=2, input_tokens=20, output_tokens=4, workers_on="ray")
        with pytest.raises(SpecError, match=r"The node 10\.0\.0\.1 cannot reach the server") as raised:
            measure(Endpoint(api.url, "m"), work, spool, header={})
    assert "refused" in raised.value.why
    assert "--on ray" in raised.value.then
    assert not spool.exists()
