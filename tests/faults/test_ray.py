"""Real Ray clusters of three local nodes: placed, served, loaded from two, stopped; nodes killed meanwhile.

Both ways in: as a driver on the cluster (`ray`), and from outside through its head (`ray://`). The first cluster serves
the tests in their order, for one takes half a minute to start on two cores; it ends with its nodes lost.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
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
    pytest.mark.extra_engine,  # minutes: `make test-ray` runs them
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'llm-magics[ray]'"),
]
Ways = Callable[[LocalCluster, str], str]


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(3) as found:
        yield found


@pytest.fixture
def on(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ways]:
    """What `--on` takes for a way into a cluster; every server is stopped in the end."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def entered(cluster: LocalCluster, way: str) -> str:
        if way == "ray":
            monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        return way if way == "ray" else cluster.client

    yield entered
    llm_magics.stop(every=True)


@pytest.mark.parametrize("way", ["ray", "ray://"])
def test_a_server_is_placed_and_loaded_from_the_other_nodes_and_leaves_nothing(
    cluster: LocalCluster, on: Ways, way: str
) -> None:
    there = on(cluster, way)
    server = llm_magics.serve("far", on=there, keep="detached")
    record = server.record
    assert record.node is not None
    assert record.node["ip"] in cluster.nodes
    assert f"//{record.node['ip']}:" in server.url
    assert server.api_key
    answer = server.client.completions.create(model=server.model, prompt="One", max_tokens=4)
    assert answer.choices[0].text
    assert llm_magics.serve("far", on=there).reused  # it holds its node: no other place is looked for
    run = llm_magics.bench("far", on=there, concurrency=2, requests=12, output_tokens=8)
    assert run.status == "complete"
    assert len(run.requests) == 12
    nodes = run.header["nodes"]
    assert {node["node"] for node in nodes} == set(cluster.nodes) - {record.node["ip"]}
    for node in nodes:  # one machine, one clock: the truth is 0
        assert abs(node["offset"]) <= node["error"]
        assert node["requests"] > 0
    assert "ray: the engine listens on" in server.logs(5000)
    with pytest.raises(SpecError, match="has not the 1 GPU") as raised:
        llm_magics.serve("gpu", on=there, gpus="auto")
    assert "1 CPU, 0 GPU" in raised.value.why
    server.stop()
    assert server.state == "stopped"
    assert not processes.marked(record.id)


def test_nodes_that_are_killed_while_serving_and_while_benching(cluster: LocalCluster, on: Ways) -> None:
    lost(cluster, served=on(cluster, "ray"), loaded=on(cluster, "ray://"))


def test_nodes_that_are_killed_with_the_ways_into_the_cluster_exchanged(on: Ways) -> None:
    with LocalCluster(3) as another:
        lost(another, served=on(another, "ray://"), loaded=on(another, "ray"))
        llm_magics.stop(every=True)


def lost(cluster: LocalCluster, *, served: str, loaded: str) -> None:
    """A node that makes a load is killed, then the one of a server; both are noticed by the way they were entered."""
    server = llm_magics.serve("far", on=served, keep="detached")
    assert server.record.node is not None
    victim = next(each for each in cluster.nodes[1:] if each != server.record.node["ip"])  # the head has to stay

    def lose_it_under_load() -> None:
        until(lambda: any(b'"request"' in path.read_bytes() for path in paths.spool_dir().glob("*.jsonl")), 180.0)
        cluster.lose(victim)

    thread = threading.Thread(target=lose_it_under_load)
    thread.start()
    run = llm_magics.bench("far", on=loaded, rate=2, requests=400, output_tokens=4, warmup=0)
    thread.join()
    assert run.partial
    assert len(run.requests) < 400  # it ended with its node, not with its 200 s
    assert any(f"the node {victim} was lost" in flag for flag in run.flags)
    assert (run.requests["status"] == "ok").any()

    if server.record.node["ip"] == cluster.nodes[0]:  # one on another node, then
        server = llm_magics.serve("further", on=served, keep="detached")
    record = server.record
    assert record.node is not None
    cluster.lose(record.node["ip"])
    until(lambda: not server.record.alive, 180.0)
    assert server.state == "failed"
    assert "node lost" in server.record.diagnosis["cause"]
    assert "start it again" in server.record.diagnosis["remedy"]
    until(lambda: not processes.marked(record.id), 90.0)  # nor is its engine left on the node
