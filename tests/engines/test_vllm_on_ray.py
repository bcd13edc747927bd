"""vLLM over two nodes of a real Ray cluster, by its own Ray backend, as `--on ray` starts it there.

Without GPUs: the nodes only say that they have one each, and vLLM's build for CPUs computes (see `vllm_over_ray`).
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
import vllm_over_ray

import llm_magics
from llm_magics import engines
from llm_magics.cluster.local import LocalCluster
from llm_magics.cluster.python import ray_python
from llm_magics.engines import environments, on_ray
from llm_magics.errors import LaunchError, SpecError
from llm_magics.runtime import processes, scratch
from llm_magics.runtime.identity import Identity

pytestmark = [
    pytest.mark.engine("vllm"),
    pytest.mark.extra_engine,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'llm-magics[ray]'"),
]
_FREE = """
import json, ray
ray.init(log_to_driver=False, logging_level="ERROR")
from ray._private.state import available_resources_per_node
print(json.dumps({
    "free": [each.get("GPU", 0) for each in available_resources_per_node().values()],
    "groups": [sorted(each["bundles_to_node_id"].values()) for each in ray.util.placement_group_table().values()
               if each["state"] == "CREATED"],
}))
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCluster]:
    """Two nodes that say they have a GPU, in a Python that has vLLM and Ray."""
    found = environments.locate(engines.get("vllm"))
    assert found is not None
    assert found.python is not None
    if not found.for_cpus or not vllm_over_ray.same_minor(Path(found.python)):
        pytest.skip(f"this test is for vLLM's build for CPUs in the Python of these tests, and here is {found}")
    monkeypatch.setenv("LLM_MAGICS_RAY_PYTHON", str(vllm_over_ray.made(tmp_path / "python", Path(found.python))))
    with LocalCluster(2, gpus=1) as started:
        monkeypatch.setenv("RAY_ADDRESS", started.address)
        yield started
        llm_magics.stop(every=True)


def held() -> dict[str, Any]:
    """GPUs that are free on each node, and the nodes of each placement group."""
    done = subprocess.run([ray_python(), "-c", _FREE], check=True, capture_output=True, text=True, timeout=300)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def workers() -> list[int]:
    """Ray's processes in which vLLM's workers are."""
    return [
        each.pid
        for each in psutil.process_iter(["cmdline"])
        if "ray::RayWorkerProc" in (each.info["cmdline"] or [""])[0]
    ]


def test_one_model_is_served_by_the_gpus_of_two_nodes_and_they_are_given_back(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: dict[str, Any] = {"engine": "vllm", "on": "ray", "tensor_parallel_size": 2, "timeout": 600.0}
    with pytest.raises(SpecError, match="build for CPUs"):
        llm_magics.serve("wide", **wanted)
    monkeypatch.setattr(on_ray, "_refuse_cpu_build", lambda *_: None)
    with pytest.raises(LaunchError, match="does not go over several nodes"):  # as it is, without the plugin
        llm_magics.serve("wide", keep="cell", env={"VLLM_PLUGINS": ""}, **wanted)

    server = llm_magics.serve("wide", keep="detached", **wanted)
    record = server.record
    assert record.node is not None
    assert record.node["ip"] in cluster.nodes
    answer = server.client.completions.create(model=server.model, prompt="A queue is", max_tokens=8, temperature=0)
    assert answer.choices[0].text
    now = held()
    assert now["free"] == [0, 0]
    (group,) = now["groups"]
    assert len(set(group)) == 2
    shared = scratch.shared_by(Identity(pid, 0, "", 0) for pid in workers())
    assert shared
    server.stop()
    assert server.state == "stopped"
    assert not processes.marked(record.id)
    deadline = time.monotonic() + 120  # Ray ends its workers in its own time, and the guard on the node waits for that
    while (left := [each for each in shared if (scratch.SHARED / each).exists()]) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left
    assert held() == {"free": [1, 1], "groups": []}
