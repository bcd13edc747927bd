"""What docker, podman and apptainer are told: GPUs by number, loopback only, models to be read, no secrets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from llm_magics import engines
from llm_magics.api import preparing, serving
from llm_magics.engines import containers, hardware, images
from llm_magics.engines.base import Command
from llm_magics.errors import SpecError
from llm_magics.spec import ServerSpec
from llm_magics.spec.reading import read_mapping

IMAGES = ("vllm", "llamacpp", "tgi", "tensorrt_llm", "ollama", "sglang", "triton")


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hardware, "has_gpu", lambda: True)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_OFFLINE")


def made(key: str = "vllm", tool: str = "docker", taken: tuple[int, ...] = (), **options: Any) -> Command:
    spec = ServerSpec(name="s", engine=key, on=tool, **{"model": "org/name", **options})
    return containers.command(engines.get(key), spec, spec.model, 4321, taken)


def folder(tmp_path: Path, name: str = "own") -> Path:
    path = tmp_path / name
    path.mkdir()
    (path / "config.json").write_text("{}")
    return path


def test_the_line_of_vllm_on_docker(tmp_path: Path) -> None:
    command = made(taken=(1, 3), max_model_len=1024)
    hub = tmp_path / "hf" / "hub"
    name = command.argv[command.argv.index("--name") + 1]
    assert re.fullmatch(r"llm-magics-s-[0-9a-f]{8}", name)
    assert command.container == {"tool": "docker", "name": name}
    assert command.argv == [
        "docker", "run", "--rm", "--name", name, "--init", '--gpus="device=1,3"', "--ipc=host",
        "--publish=127.0.0.1:4321:8000",
        f"--mount=type=bind,source={hub},target=/root/.cache/huggingface/hub",
        "--env=HF_HUB_CACHE", "--env=HF_TOKEN", "--env=HUGGINGFACE_HUB_CACHE", "--env=VLLM_API_KEY",
        "--env=VLLM_NO_USAGE_STATS", "--entrypoint=vllm", "vllm/vllm-openai:v0.33.0",
        "serve", "org/name", "--host", "0.0.0.0", "--port", "8000", "--generation-config", "vllm",  # noqa: S104 - inside
        "--served-model-name", "org/name", "--max-model-len", "1024",
    ]  # fmt: skip
    assert command.env["HF_HUB_CACHE"] == "/root/.cache/huggingface/hub"


@pytest.mark.parametrize("tool", ["docker", "podman", "apptainer"])
@pytest.mark.parametrize("key", IMAGES)
def test_no_secret_on_any_line_and_no_port_but_on_loopback(key: str, tool: str) -> None:
    command = made(key, tool, env={"MY_TOKEN": "secret-of-mine"}, taken=(0,))
    line = " ".join(command.argv)
    assert "hf_secret" not in line
    assert "secret-of-mine" not in line
    assert command.env["MY_TOKEN"] == "secret-of-mine"
    assert None not in command.argv
    assert "None" not in command.argv
    if tool == "apptainer":
        assert command.container is None  # a child like any other
        assert "0.0.0.0" not in line  # noqa: S104 - inside
        assert command.env["CUDA_VISIBLE_DEVICES"] == "0"
    else:
        assert line.count("--publish=127.0.0.1:4321:") == 1
        assert "--env=MY_TOKEN" in command.argv
        assert "--env=HF_TOKEN" in command.argv


def test_a_local_model_is_mounted_for_reading_and_called_by_its_place_inside(tmp_path: Path) -> None:
    own, draft, lora = folder(tmp_path), folder(tmp_path, "draft"), folder(tmp_path, "lora")
    spec = ServerSpec(
        name="s", engine="vllm", on="docker", model=str(own), lora_modules={"a": str(lora)},
        speculative={"method": "draft_model", "model": str(draft)},
    )  # fmt: skip
    vllm = engines.get("vllm")
    command = containers.command(vllm, spec, str(own), 1, ())
    mounts = [word for word in command.argv if word.startswith("--mount")]
    assert mounts == [
        f"--mount=type=bind,source={path},target=/llm-magics/{number}/{path.name},readonly"
        for number, path in enumerate((own, lora, draft))
    ]
    assert "a=/llm-magics/1/lora" in command.argv
    assert '{"method": "draft_model", "model": "/llm-magics/2/draft"}' in command.argv
    assert command.argv[command.argv.index("--served-model-name") + 1] == "/llm-magics/0/own"
    assert containers.served_model(vllm, spec, str(own)) == "/llm-magics/0/own"
    assert str(tmp_path) not in " ".join(word for word in command.argv if not word.startswith("--mount"))


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("vllm/vllm-openai:v0.33.0", "v0.33.0"),
        ("registry:5000/vllm", "latest"),
        ("vllm/vllm-openai-cpu", "latest+cpu"),
        (f"vllm/vllm-openai:v0.33.0@sha256:{'0123456789ab' * 5}0123", "v0.33.0"),
        (f"vllm/vllm-openai@sha256:{'0123456789ab' * 5}0123", "0123456789ab"),
    ],
)
def test_the_version_in_an_image_is_its_tag_or_the_beginning_of_its_digest(image: str, version: str) -> None:
    spec = ServerSpec(name="s", engine="vllm", on="docker", model="org/name", image=image)
    assert images.executable(engines.get("vllm"), spec).version == version


@pytest.mark.parametrize("tool", ["docker", "apptainer"])
def test_an_adapter_of_llamacpp_is_mounted_too(tool: str, tmp_path: Path) -> None:
    (tmp_path / "a.gguf").touch()
    argv = made("llamacpp", tool, lora_modules={"a": str(tmp_path / "a.gguf")}).argv
    inside = argv[argv.index("--lora") + 1]
    assert inside.endswith("/a.gguf")
    assert any(str(tmp_path / "a.gguf") in word and inside in word for word in argv), "it is mounted there"


def test_a_path_without_a_dot_before_it_is_mounted_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the engines do it on the machine itself: a folder goes before a hub id of its name."""
    monkeypatch.chdir(tmp_path)
    folder(tmp_path, "adapters")
    argv = made(lora_modules={"a": "adapters", "b": "org/b"}).argv
    assert f"--mount=type=bind,source={tmp_path}/adapters,target=/llm-magics/0/adapters,readonly" in argv
    assert {"a=/llm-magics/0/adapters", "b=org/b"} <= set(argv)


def test_a_snapshot_of_the_hubs_cache_is_mounted_with_the_files_its_links_go_to(tmp_path: Path) -> None:
    repo = tmp_path / "models--org--name"
    (repo / "blobs").mkdir(parents=True)
    snapshot = repo / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    command = made(model=str(snapshot))
    assert f"--mount=type=bind,source={repo},target=/llm-magics/0/models--org--name,readonly" in command.argv
    assert "/llm-magics/0/models--org--name/snapshots/abc" in command.argv


def test_podman_and_apptainer_say_the_same_in_their_words(tmp_path: Path) -> None:
    own = folder(tmp_path)
    podman = made(tool="podman", taken=(1,), model=str(own))
    assert "--device=nvidia.com/gpu=1" in podman.argv
    assert "docker.io/vllm/vllm-openai:v0.33.0" in podman.argv
    assert "--device=nvidia.com/gpu=all" in made(tool="podman").argv
    apptainer = made(tool="apptainer", taken=(1,), model=str(own))
    assert apptainer.argv[:4] == ["apptainer", "exec", "--writable-tmpfs", "--nv"]
    assert f"--bind={own}:/llm-magics/0/own:ro" in apptainer.argv
    inner = apptainer.argv[apptainer.argv.index("docker://vllm/vllm-openai:v0.33.0") + 1 :]
    assert inner[:3] == ["vllm", "serve", "/llm-magics/0/own"]
    assert inner[3:7] == ["--host", "127.0.0.1", "--port", "4321"]


def test_each_image_is_started_by_its_own_entry_point() -> None:
    tgi = made("tgi").argv
    assert tgi[tgi.index("ghcr.io/huggingface/text-generation-inference:3.3.7") + 1] == "--model-id"
    trt = made("tensorrt_llm").argv
    assert trt[trt.index("nvcr.io/nvidia/tensorrt-llm/release:1.2.1") + 1 :][:2] == ["trtllm-serve", "org/name"]
    ollama = made("ollama", model="qwen3:0.6b").argv
    assert ollama[-2:] == ["ollama/ollama:latest", "serve"]
    assert ollama[ollama.index("--") + 1 :][:2] == ["docker", "run"]
    assert ollama[ollama.index("--port") + 1] == "4321"  # our launcher asks from outside
    assert "--volume=llm-magics-ollama:/root/.ollama" in ollama
    assert not [word for word in tgi + trt + ollama if word.startswith("--entrypoint")]


def test_trtllms_configuration_is_mounted() -> None:
    command = made("tensorrt_llm")
    (path,) = command.files
    inside = command.argv[command.argv.index("--extra_llm_api_options") + 1]
    assert f"--mount=type=bind,source={path},target={inside},readonly" in command.argv


def test_without_a_gpu_the_image_is_the_one_for_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not [word for word in made(gpus="none").argv if word.startswith("--gpus")]
    assert "vllm/vllm-openai-cpu:latest" in made(gpus="none").argv
    assert "--enforce-eager" in made(gpus="none").argv
    monkeypatch.setattr(hardware, "has_gpu", lambda: False)
    assert "ghcr.io/ggml-org/llama.cpp:server" in made("llamacpp").argv
    with pytest.raises(SpecError, match="no official image for a machine without a GPU"):
        made("tgi")
    with pytest.raises(SpecError, match="no container image of its own"):
        made("transformers")
    assert "me/vllm:1" in made(image="me/vllm:1").argv


@pytest.mark.parametrize(("tool", "name"), [("docker", "a,b"), ("apptainer", "a:b")])
def test_a_path_that_cannot_be_said_is_refused(tool: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be mounted"):
        made(tool=tool, model=str(folder(tmp_path, name)))


def test_variables_that_the_client_reads_itself_are_said_by_value() -> None:
    command = made(env={"LD_LIBRARY_PATH": "/inside", "PLAIN": "1"})
    assert "--env=LD_LIBRARY_PATH=/inside" in command.argv
    assert "LD_LIBRARY_PATH" not in command.env
    assert "--env=PLAIN" in command.argv


def test_on_is_a_word_in_a_body_and_part_of_what_makes_a_server() -> None:
    values, _ = read_mapping("on: docker\nimage: a/b:1\n")
    assert values == {"on": "docker", "image": "a/b:1"}  # YAML 1.1 would read `on` as true
    here, there = ServerSpec(name="s"), ServerSpec(name="s", **values)
    assert here.reuse_key != there.reuse_key


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"image": "a/b:1"}, "image names a container's image"),
        ({"on": "docker", "python": "/usr/bin/python3"}, "python names a place on this machine"),
        ({"on": "podman", "bin": "/usr/bin/llama-server"}, "bin names a place on this machine"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        preparing.prepare(ServerSpec(name="s", **options))


def test_a_dry_run_needs_no_daemon_and_shows_no_secret() -> None:
    line = serving.dry_run("s", on="docker", env={"MY_TOKEN": "secret-of-mine"})
    assert "--publish=127.0.0.1:PORT:8080" in line
    assert "secret-of-mine" not in line
    assert "hf_secret" not in line


def test_triton_gets_our_launcher_and_its_second_port(tmp_path: Path) -> None:
    """Its repository is made inside, by the launcher that is mounted; metrics have a port of their own."""
    own = folder(tmp_path)
    command = made("triton", model=str(own), tensor_parallel_size=2, lora_modules={"a": str(own)})
    assert "--publish=127.0.0.1:4321:8000" in command.argv
    assert "--publish=127.0.0.1:4323:8002" in command.argv
    assert "--entrypoint=python3" in command.argv
    image = next(place for place, word in enumerate(command.argv) if "vllm-python-py3" in word)
    inside = command.argv[image + 1 :]
    assert re.fullmatch(r"/llm-magics/\d/launchers/triton_server\.py", inside[0])
    assert not any(word.startswith("/") and not word.startswith("/llm-magics/") for word in inside), inside
    launchers = next(word for word in command.argv if word.startswith("--mount") and "launchers" in word)
    assert launchers.endswith("launchers,readonly")
    assert "--tritonserver" not in inside
