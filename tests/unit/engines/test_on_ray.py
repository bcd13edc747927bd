"""What our client on a cluster is told: names of secrets only, the node's address, Ray's own choice of GPUs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm_magics import engines
from llm_magics.cluster import parcel
from llm_magics.cluster.placement import Placement
from llm_magics.engines import on_ray
from llm_magics.engines.base import Command
from llm_magics.errors import SpecError
from llm_magics.spec import ServerSpec
from llm_magics.spec.reading import build

FOUND = Placement("ray", "n1", "10.0.0.2", "/node/python", None, "0.33.0", cpus=3, gpus=2)


@pytest.fixture(autouse=True)
def ray_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(on_ray.python, "ray_python", lambda: "/ray/python")


def made(key: str = "vllm", found: Placement = FOUND, model: str = "org/name", **options: Any) -> Command:
    spec = ServerSpec(name="s", engine=key, on="ray", **{"model": model, **options})
    return on_ray.command(engines.get(key), spec, model, 4321, found)


def test_the_engine_listens_at_the_node_and_the_client_is_told_where() -> None:
    command = made(tensor_parallel_size=2, env={"MY_SECRET": "sesame"})
    cut = command.argv.index("--")
    client, engine = command.argv[:cut], command.argv[cut + 1 :]
    assert client[0] == "/ray/python"
    assert engine[:4] == ["/node/python", "-m", "vllm.entrypoints.cli.main", "serve"]
    assert engine[engine.index("--host") + 1] == command.host == "10.0.0.2"
    assert client[client.index("--gpus") + 1] == "2"
    named = [word for word, before in zip(client[1:], client, strict=False) if before == "--env"]
    assert {"HF_TOKEN", "LLM_MAGICS_SERVER", "MY_SECRET", "VLLM_API_KEY"} <= set(named)
    assert not any("secret" in word or "sesame" in word for word in command.argv)
    assert "CUDA_VISIBLE_DEVICES" not in command.env  # Ray says which
    assert command.margin > 0
    assert command.node == {"on": "ray", "ip": "10.0.0.2"}


def test_gpus_of_several_nodes_are_vllm_s_own_matter() -> None:
    engine = made(found=replace(FOUND, gpus=0, across=True), tensor_parallel_size=4).argv
    assert engine[engine.index("--distributed-executor-backend") + 1] == "ray"
    assert "--across" in engine[: engine.index("--")]
    assert "--distributed-executor-backend" not in made(tensor_parallel_size=2).argv


@pytest.mark.parametrize("reserved", [{"gpus": 1}, {"gpus": 0, "across": True}])
def test_gpus_for_a_build_for_cpus_are_refused_and_a_node_without_them_is_not(reserved: dict[str, Any]) -> None:
    found = replace(FOUND, version="0.32.0+cpu")
    with pytest.raises(SpecError, match="build for CPUs") as raised:
        made(found=replace(found, **reserved), tensor_parallel_size=2)
    assert "gpus: none" in raised.value.then
    assert made(found=replace(found, gpus=0)).argv


def test_replicas_over_several_nodes_are_refused_unless_vllm_is_told_how() -> None:
    found = replace(FOUND, gpus=0, across=True)
    with pytest.raises(SpecError, match="4 replicas") as raised:
        made(found=found, data_parallel_size=4)
    assert "--data-parallel-backend" in raised.value.then
    told = ["--data-parallel-backend", "ray", "--data-parallel-size-local", "2"]
    assert "--data-parallel-backend" in made(found=found, data_parallel_size=4, args=told).argv
    assert made(data_parallel_size=2).argv  # on one node that has the GPUs


def test_llama_cpp_computes_on_the_cpus_that_are_reserved_and_its_model_goes_along() -> None:
    model = str(next((parcel.ROOT / "models").rglob("*q8_0.gguf")))
    argv = made("llamacpp", model=model).argv
    assert argv[argv.index("--threads") + 1] == "3"
    assert argv[argv.index("--carry") + 1] == model


def test_an_engine_without_a_key_is_not_opened_to_others() -> None:
    keyless = next(key for key in engines.names() if engines.get(key).key_env is None)
    with pytest.raises(SpecError, match="takes no API key"):
        made(keyless)


def test_gpus_by_number_are_refused_and_counts_come_from_the_parallel_sizes() -> None:
    vllm = engines.get("vllm")

    def wanted(**options: Any) -> int | None:
        return on_ray.gpus_wanted(vllm, ServerSpec(name="s", engine="vllm", model="m/m", on="ray", **options))

    with pytest.raises(SpecError, match="Ray chooses the GPUs"):
        wanted(gpus=[0])
    assert wanted(gpus="none") == 0
    assert wanted() is None
    assert wanted(gpus="auto") == 1
    assert wanted(tensor_parallel_size=2, pipeline_parallel_size=2) == 4


def test_paths_that_the_node_must_see_are_the_user_s(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    spec = ServerSpec(name="s", engine="vllm", model=str(tmp_path), on="ray")
    assert on_ray.paths_of(engines.get("vllm"), spec, str(tmp_path)) == [str(tmp_path)]
    tiny = str(next((parcel.ROOT / "models").rglob("*.gguf")))
    assert on_ray.paths_of(engines.get("llamacpp"), ServerSpec(name="s", on="ray"), tiny) == []


@pytest.mark.parametrize("on", ["rays", "ray://", "ray://a b", "http://x", "ray://h:x", "ray://h:99999"])
def test_what_is_no_cluster_is_refused_by_the_spec(on: str) -> None:
    with pytest.raises(SpecError):
        build(ServerSpec, {"name": "s", "on": on})


@pytest.mark.parametrize("on", ["ray", "ray://head", "ray://10.0.0.1:10001", "ray://[::1]:10001"])
def test_clusters_as_people_write_them(on: str) -> None:
    assert ServerSpec(name="s", on=on).far


def test_our_client_s_own_words_are_the_diagnosis() -> None:
    log = ["INFO something", "ray: node lost: 10.0.0.2 [the node is gone] -> start it again: it takes another node"]
    found = engines.get("vllm").diagnose(log)
    assert found is not None
    assert (found.cause, found.remedy) == ("node lost: 10.0.0.2", "start it again: it takes another node")
    assert engines.get("vllm").stage("ray: waiting for 1 CPU and 0 GPU on the node x") is not None
