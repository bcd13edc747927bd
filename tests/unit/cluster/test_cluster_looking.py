"""Which node a server gets, and what is said when none will do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from llm_magics.cluster import looking
from llm_magics.errors import SpecError

NODES = [
    {"id": "a", "ip": "10.0.0.1", "resources": {"CPU": 4.0, "GPU": 2.0}},
    {"id": "b", "ip": "10.0.0.2", "resources": {"CPU": 4.0, "GPU": 2.0}},
]
QUESTION: dict[str, Any] = {
    "on": "ray", "cpus": 1, "gpus": None, "spread": False, "title": "vLLM", "hint": "install it", "reference": "",
    "given": {}, "paths": [],
}  # fmt: skip


class Cluster:
    """Nodes that answer what they are told to; remembers what was asked for."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers, self.asked, self.given_back = list(answers), [], 0
        self.on: list[str | None] = []
        self.waited: list[float] = []
        self.full: set[str | None] = set()
        self.there = NODES

    def nodes(self) -> list[dict[str, Any]]:
        return self.there

    def ask_for(self, cpus: float, gpus: float, node: str | None = None) -> Any:
        self.asked.append((cpus, gpus))
        self.on.append(node)
        return SimpleNamespace(id=node or "n", ip=f"10.0.0.{len(self.asked)}", node=node)

    def wait_for(self, places: list[Any], seconds: float) -> list[Any]:
        self.waited.append(seconds)
        return [each for each in places if self.answers and each.node not in self.full]

    def free(self) -> dict[str, float]:
        return {"CPU": 0.0}

    def give_back(self, place: Any) -> None:
        self.given_back += 1


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "_examined", lambda place, sent, question: question["cluster"].answers.pop(0))


def look(cluster: Cluster, **changes: Any) -> dict[str, Any]:
    return looking.look(cluster, {**QUESTION, "cluster": cluster, **changes})  # type: ignore[arg-type]


def test_the_first_node_that_has_the_engine_is_taken(examined: None) -> None:
    cluster = Cluster({"lacks": "has no vLLM"}, {"python": "/p", "binary": None, "version": "0.33.0"})
    found = look(cluster, gpus=0)
    assert (found["ip"], found["version"], found["gpus"]) == ("10.0.0.2", "0.33.0", 0)
    assert cluster.asked == [(1, 0), (1, 0)]


def test_where_no_node_has_it_each_says_what_it_lacks(examined: None) -> None:
    with pytest.raises(SpecError) as raised:
        look(Cluster({"lacks": "has no vLLM"}, {"lacks": "does not see /m"}), gpus=0)
    assert raised.value.why == "10.0.0.1: has no vLLM\n10.0.0.2: does not see /m"
    assert "disk that the nodes share" in raised.value.then


def test_a_full_cluster_is_said_to_be_full_and_the_wish_is_taken_back(examined: None) -> None:
    cluster = Cluster()
    with pytest.raises(SpecError, match="free") as raised:
        look(cluster, gpus=0)
    assert "ray status" in raised.value.then
    assert cluster.given_back == 1


def test_gpus_that_the_cluster_lacks_are_refused_with_what_it_has() -> None:
    with pytest.raises(SpecError, match="5 GPUs") as raised:
        looking.wanted(NODES, {**QUESTION, "gpus": 5})
    assert "10.0.0.1: 4 CPU, 2 GPU" in raised.value.why


def test_gpus_of_several_nodes_are_for_engines_that_can_use_them() -> None:
    with pytest.raises(SpecError, match="single node"):
        looking.wanted(NODES, {**QUESTION, "gpus": 4})
    # The engine reserves them itself: with ours as well nothing would be left for it.
    assert looking.wanted(NODES, {**QUESTION, "gpus": 4, "spread": True}) == (1, 0, True)
    assert looking.wanted(NODES, {**QUESTION, "gpus": 2, "spread": True}) == (1, 2, False)


def test_an_engine_whose_gpus_are_on_several_nodes_is_beside_some_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[bool] = []

    def examined(place: Any, sent: bytes, question: dict[str, Any]) -> dict[str, Any]:
        heard.append(question["across"])
        return {"python": "/p", "binary": None, "version": "0.33.0"}

    monkeypatch.setattr(looking, "_examined", examined)
    cluster = Cluster({})
    cluster.there = [
        {"id": "head", "ip": "10.0.0.9", "resources": {"CPU": 8.0}},
        {"id": "one", "ip": "10.0.0.1", "resources": {"CPU": 4.0, "GPU": 1.0}},
        {"id": "two", "ip": "10.0.0.2", "resources": {"CPU": 4.0, "GPU": 2.0}},
    ]
    found = look(cluster, gpus=3, spread=True)
    assert (cluster.on, found["node"], found["gpus"], found["across"]) == (["two"], "two", 0, True)
    assert heard == [True]  # it is asked whether it is where Ray's own workers find it
    cluster.on, cluster.waited, cluster.full = [], [], {"two"}  # no CPU is free there
    assert look(cluster, gpus=3, spread=True)["node"] == "one"
    assert (cluster.on, cluster.given_back) == (["two", "one"], 1)
    assert cluster.waited == [looking.PLACE, looking.PLACE / 3]  # or a few full nodes would use up the whole look


def test_when_nothing_is_said_a_gpu_is_taken_where_there_are_any() -> None:
    assert looking.wanted(NODES, QUESTION) == (1, 1, False)
    cpus = [{"id": "c", "ip": "10.0.0.3", "resources": {"CPU": 1.0}}]
    assert looking.wanted(cpus, QUESTION) == (1, 0, False)
    with pytest.raises(SpecError, match="has 2 CPUs"):
        looking.wanted(cpus, {**QUESTION, "cpus": 2})
