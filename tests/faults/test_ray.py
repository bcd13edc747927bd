"""A real Ray cluster of three local nodes: placed, served, loaded from two, stopped; nodes killed meanwhile.

All of it twice: as a driver on the cluster (`ray`), and from outside through its head (`ray://`), on a cluster each.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from waiting import until

import llm_magics
from llm_magics import paths
from llm_magics.cluster.local import LocalCluster
from llm_magics.errors import SpecError
from llm_magics.runtime import processes

pytestmark = [
    pytest.mark.extra_engine,  # a cluster takes a minute to start on two cores
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'llm-magics[ray]'"),
]


@pytest.fixture(scope="module", params=["ray", "ray://"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def cluster(way: str) -> Iterator[LocalCluster]:
    with LocalCluster(3) as found:
        yield found


@pytest.fixture
def here(cluster: LocalCluster, way: str, isolated: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCluster]:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if way == "ray":
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    monkeypatch.setenv("LLM_MAGICS_NONINTERACTIVE", "1")
    yield cluster
    llm_magics.stop(every=True)


@pytest.fixture
def on(here: LocalCluster, way: str) -> str:
    return way if way == "ray" else here.client


def test_a_server_is_placed_and_loaded_from_the_other_nodes_and_leaves_nothing(here: LocalCluster, on: str) -> None:
    server = llm_magics.serve("far", on=on, keep="detached")
    record = server.record
    assert record.node is not None
    assert record.node["ip"] in here.nodes
    assert f"//{record.node['ip']}:" in server.url
    assert server.api_key
    answer = server.client.completions.create(model=server.model, prompt="One", max_tokens=4)
    assert answer.choices[0].text
    assert llm_magics.serve("far", on=on).reused  # it holds its node: no other place is looked for
    run = llm_magics.bench("far", on=on, concurrency=2, requests=12, output_tokens=8)
    assert run.status == "complete"
    assert len(run.requests) == 12
    nodes = run.header["nodes"]
    assert {node["node"] for node in nodes} == set(here.nodes) - {record.node["ip"]}
    for node in nodes:  # one machine, one clock: the truth is 0
        assert abs(node["offset"]) <= node["error"]
        assert node["requests"] > 0
    assert "ray: the engine listens on" in server.logs(5000)
    with pytest.raises(SpecError, match="has not the 1 GPU") as raised:
        llm_magics.serve("gpu", on=on, gpus="auto")
    assert "1 CPU, 0 GPU" in raised.value.why
    server.stop()
    assert server.state == "stopped"
    assert not processes.marked(record.id)


def test_nodes_that_are_killed_while_serving_and_while_benching(here: LocalCluster, on: str) -> None:
    server = llm_magics.serve("far", on=on, keep="detached")
    assert server.record.node is not None
    victim = next(each for each in here.nodes[1:] if each != server.record.node["ip"])  # the head has to stay

    def lose_it_under_load() -> None:
        until(lambda: any(b'"request"' in path.read_bytes() for path in paths.spool_dir().glob("*.jsonl")), 180.0)
        here.lose(victim)

    thread = threading.Thread(target=lose_it_under_load)
    thread.start()
    run = llm_magics.bench("far", on=on, rate=2, requests=400, output_tokens=4, warmup=0)
    thread.join()
    assert run.partial
    assert len(run.requests) < 400  # it ended with its node, not with its 200 s
    assert any(f"the node {victim} was lost" in flag for flag in run.flags)
    assert (run.requests["status"] == "ok").any()

    if server.record.node["ip"] == here.nodes[0]:  # one on another node, then
        server = llm_magics.serve("further", on=on, keep="detached")
    record = server.record
    assert record.node is not None
    here.lose(record.node["ip"])
    until(lambda: not server.record.alive, 180.0)
    assert server.state == "failed"
    assert "node lost" in server.record.diagnosis["cause"]
    assert "start it again" in server.record.diagnosis["remedy"]
    until(lambda: not processes.marked(record.id), 90.0)  # nor is its engine left on the node
