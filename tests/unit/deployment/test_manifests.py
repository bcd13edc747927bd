"""Manifests of every engine: taken by three releases of Kubernetes, and saying what the engine really needs.

A user who loses one of these has a pod that is restarted while it loads, that leaks a key into a repository, or that
serves something else than what was measured.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from llm_magics import engines
from llm_magics.api.deploying import deploy, spec_of, written
from llm_magics.deployment.documents import Written
from llm_magics.deployment.pod import DRAIN
from llm_magics.deployment.validity import RELEASES, problems
from llm_magics.errors import SpecError
from llm_magics.spec.deployment import Deployment

ENGINES = ("llamacpp", "vllm", "transformers", "tgi", "tensorrt_llm", "ollama", "sglang", "deepspeed", "triton")
SCHEMAS = Path(__file__).parent / "schemas"
MODELS = {"llamacpp": "ggml-org/Qwen3-0.6B-GGUF", "ollama": "qwen3:0.6b"}


@pytest.fixture(autouse=True)
def nobody_was_served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "rt"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))


def made(engine: str, **options: Any) -> Written:
    if engine in ("transformers", "deepspeed"):
        options.setdefault("image", "registry.example/llm/own:1.2")
    options.setdefault("model", MODELS.get(engine, "Qwen/Qwen3-0.6B"))
    done = deploy("my_llm", engine=engine, **options)
    assert isinstance(done, Written)
    return done


def document(written: Written, kind: str) -> Any:
    return next(each.body for each in written.documents if each.kind == kind)


def server(written: Written) -> Any:
    return document(written, "Deployment")["spec"]["template"]["spec"]["containers"][0]


def schema(name: str) -> Any:
    return json.loads((SCHEMAS / f"{name}.json").read_text())


@pytest.mark.parametrize("engine", ENGINES)
def test_three_releases_take_every_engines_manifests(engine: str) -> None:
    written = made(engine, gpus_per_pod=2, memory="64Gi", cpu="8", gpu_type="NVIDIA-L4", pull_secret="registry")
    assert problems(written) == []
    assert len(RELEASES) == 3
    read = list(yaml.safe_load_all(written.text))
    assert [each["kind"] for each in read] == [each.kind for each in written.documents]  # what stands in the file


def test_a_manifest_that_is_wrong_is_refused_by_every_release() -> None:
    written = made("vllm")
    server(written)["ports"][0]["containerPort"] = "http"
    found = problems(written)
    assert found is not None
    assert len(found) == 3
    assert "Deployment my-llm" in found[0]


@pytest.mark.parametrize("engine", ENGINES)
def test_service_monitors_are_what_the_operator_reads(engine: str) -> None:
    written, metrics = made(engine), engines.get(engine).metrics
    found = [each.body for each in written.documents if each.kind == "ServiceMonitor"]
    assert len(found) == (1 if metrics else 0)
    for body in found:
        jsonschema.validate(body, schema("prometheus-operator"))
        endpoint, service = body["spec"]["endpoints"][0], document(written, "Service")
        assert endpoint["path"] == metrics.path
        assert endpoint["port"] in [each["name"] for each in service["spec"]["ports"]]
        assert ("authorization" in endpoint) == bool(engines.get(engine).key_env)  # llama.cpp's page wants the key


@pytest.mark.parametrize("engine", ENGINES)
def test_keda_asks_for_the_engines_own_queue(engine: str) -> None:
    metrics = engines.get(engine).metrics
    if metrics is None:
        with pytest.raises(SpecError, match="does not say how many requests wait"):
            made(engine, max_replicas=4, autoscale="keda")
        return
    written = made(engine, max_replicas=4, autoscale="keda", queue=7)
    body = document(written, "ScaledObject")
    jsonschema.validate(body, schema("keda"))
    trigger = body["spec"]["triggers"][0]["metadata"]
    assert metrics.names["waiting"][0] in trigger["query"]
    assert trigger["threshold"] == "7"
    assert "replicas" not in document(written, "Deployment")["spec"]  # or every apply would undo the growth


def test_an_hpa_grows_by_the_queue() -> None:
    spec = document(made("sglang", replicas=2, max_replicas=6), "HorizontalPodAutoscaler")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 6)
    assert spec["metrics"][0]["pods"]["metric"]["name"] == "sglang_num_queue_reqs"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_pod_lives_and_ends_by_what_its_adapter_says(engine: str) -> None:
    adapter, written = engines.get(engine), made(engine, timeout=1234.0)
    pod = document(written, "Deployment")["spec"]["template"]["spec"]
    probes = pod["containers"][0]
    started = probes["startupProbe"]
    assert started["periodSeconds"] * started["failureThreshold"] >= 1234
    assert document(written, "Deployment")["spec"]["progressDeadlineSeconds"] > 1234
    page = "/v1/models/qwen3:0.6b" if engine == "ollama" else adapter.ready_path
    assert started["httpGet"]["path"] == probes["readinessProbe"]["httpGet"]["path"] == page
    assert probes["livenessProbe"]["httpGet"]["path"] == (adapter.alive_path or page)
    assert pod["terminationGracePeriodSeconds"] >= adapter.grace + DRAIN
    assert pod["enableServiceLinks"] is False  # a Service called vllm would set VLLM_PORT


def test_sglang_is_asked_what_it_answers_without_a_token() -> None:
    probes = server(made("sglang"))
    assert probes["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert probes["livenessProbe"]["httpGet"]["path"] == "/health"
    assert probes["livenessProbe"]["timeoutSeconds"] >= 20  # it makes a token, and gives itself 20 s


@pytest.mark.parametrize("engine", ENGINES)
def test_the_words_are_those_of_the_engine_in_its_image(engine: str) -> None:
    adapter, container = engines.get(engine), server(made(engine))
    words = [*container.get("command", []), *container.get("args", [])]
    text = " ".join(words)
    if adapter.image and adapter.image.entry == "program":
        assert "command" not in container  # the image's entry point is the program
    if engine not in ("ollama",):
        assert MODELS.get(engine, "Qwen/Qwen3-0.6B") in words
        assert words[words.index("--host" if engine != "tgi" else "--hostname") + 1] == "0.0.0.0"  # noqa: S104
    assert "/work" not in text
    assert str(Path(engines.__file__).parent) not in text  # no path of this machine
    port = adapter.image.port if adapter.image else 8000
    assert container["ports"][0]["containerPort"] == port


def test_gpus_are_asked_for_by_how_the_model_is_split() -> None:
    container = server(made("vllm", tensor_parallel_size=4, pipeline_parallel_size=2))
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "8"}
    assert "--enforce-eager" not in container["command"]  # what vLLM is told on a CPU
    none = server(made("vllm", gpus_per_pod=0))
    assert "limits" not in none.get("resources", {})
    assert none["image"].startswith("vllm/vllm-openai-cpu")
    assert "--enforce-eager" in none["command"]


def test_a_mig_slice_and_a_kind_of_gpu_can_be_asked_for() -> None:
    written = made("vllm", gpu_resource="nvidia.com/mig-3g.40gb", gpu_type="NVIDIA-A100-SXM4-80GB")
    assert server(written)["resources"]["limits"] == {"nvidia.com/mig-3g.40gb": "1"}
    pod = document(written, "Deployment")["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}


def test_workers_of_several_gpus_have_room_to_talk() -> None:
    pod = document(made("vllm", tensor_parallel_size=2), "Deployment")["spec"]["template"]["spec"]
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "4Gi"}} in pod["volumes"]
    assert {"name": "shm", "mountPath": "/dev/shm"} in pod["containers"][0]["volumeMounts"]
    sglang = document(made("sglang"), "Deployment")["spec"]["template"]["spec"]["volumes"]
    assert next(each for each in sglang if each["name"] == "shm")["emptyDir"]["sizeLimit"] == "32Gi"  # its image's own


@pytest.mark.parametrize("to", ["kubernetes", "kserve", "compose", "helm-values"])
def test_no_secret_stands_in_a_file(to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_verysecrettoken")
    monkeypatch.setenv("VLLM_API_KEY", "sk-verysecretkey")
    written = made("vllm", to=to, env={"MY_API_KEY": "abcdefsecret", "VLLM_LOGGING_LEVEL": "INFO"})
    assert "secrettoken" not in written.text
    assert "secretkey" not in written.text
    assert "abcdefsecret" not in written.text
    assert "VLLM_API_KEY" in written.text or "vllmApiKey" in written.text
    if to == "kubernetes":
        named = {each["name"]: each["valueFrom"] for each in server(written)["env"] if "valueFrom" in each}
        assert named["MY_API_KEY"]["secretKeyRef"]["name"] == "my-llm-env"
        assert named["HF_TOKEN"]["secretKeyRef"]["optional"] is True
        assert any("create secret generic my-llm-api-key" in each for each in written.first)


def test_a_secret_among_the_arguments_is_refused() -> None:
    with pytest.raises(SpecError, match="secret among args"):
        made("vllm", args=["--api-key", "sk-1234567"])


def test_kubernetes_puts_no_variable_into_the_words() -> None:
    assert "$$(HOME)" in server(made("vllm", args=["--chat-template", "$(HOME)"]))["command"]


def test_what_downloads_keeps_it_and_several_pods_share_the_claim() -> None:
    one, many = made("vllm"), made("vllm", replicas=3, storage_class="nfs", cache="1Ti")
    assert document(one, "PersistentVolumeClaim")["spec"]["accessModes"] == ["ReadWriteOnce"]
    spec = document(many, "PersistentVolumeClaim")["spec"]
    assert spec["accessModes"] == ["ReadWriteMany"]
    assert spec["storageClassName"] == "nfs"
    assert spec["resources"]["requests"]["storage"] == "1Ti"
    mounted = {each["name"]: each["mountPath"] for each in server(one)["volumeMounts"]}
    assert {"name": "HF_HUB_CACHE", "value": mounted["models"]} in server(one)["env"]


def test_a_model_on_this_machines_disk_is_refused_unless_a_claim_has_it() -> None:
    with pytest.raises(SpecError, match="pods cannot see") as refused:
        made("llamacpp", model="tiny")
    assert "--model-pvc CLAIM:tiny-q8_0.gguf" in refused.value.then
    assert "--engine vllm --model Qwen/Qwen3-0.6B" in refused.value.then
    assert made("vllm", model="Qwen/Qwen3-0.6B").documents, "what is offered can be done at once"
    assert "--to compose" in refused.value.then
    assert "tiny-q8_0.gguf" in made("llamacpp", model="tiny", to="compose").text
    written = made("llamacpp", model="tiny", model_pvc="weights:small/tiny.gguf")
    assert "/llm-magics/model/small/tiny.gguf" in server(written)["args"]
    pod = document(written, "Deployment")["spec"]["template"]["spec"]
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "weights", "readOnly": True}
    assert not [each for each in written.documents if each.kind == "PersistentVolumeClaim"]
    cached = made("vllm", model_pvc="hub")
    assert document(cached, "Deployment")["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"] == {
        "claimName": "hub"
    }


def test_an_engine_without_an_image_says_what_to_do() -> None:
    with pytest.raises(SpecError, match="no container image") as refused:
        deploy("x", engine="deepspeed", model="Qwen/Qwen3-0.6B")
    assert "image:" in refused.value.then
    assert len(str(refused.value).splitlines()) == 3


def test_ours_that_starts_an_engine_goes_along() -> None:
    for engine, launcher in (("triton", "triton_server.py"), ("deepspeed", "deepspeed_server.py")):
        written = made(engine)
        files = document(written, "ConfigMap")["data"]
        assert launcher in files
        assert f"/llm-magics/files/{launcher}" in server(written)["command"]
        assert "sglang_server.py" not in files
        compile(files[launcher], launcher, "exec")
    config = document(made("tensorrt_llm", kv_cache_dtype="fp8"), "ConfigMap")["data"]["my_llm.engine.yaml"]
    assert yaml.safe_load(config)["kv_cache_config"] == {"dtype": "fp8"}


def test_ollamas_model_is_put_in_before_it_serves() -> None:
    pod = document(made("ollama", served_model_name="qwen"), "Deployment")["spec"]["template"]["spec"]
    first = pod["initContainers"][0]
    assert first["command"][-2:] == ["qwen3:0.6b", "qwen:latest"]
    assert first["volumeMounts"] == pod["containers"][0]["volumeMounts"]
    assert subprocess.run(["sh", "-n", "-c", first["command"][2]], check=False).returncode == 0


def test_the_policy_lets_in_who_needs_it() -> None:
    spec = document(made("triton", scraped_from="observe"), "NetworkPolicy")["spec"]
    assert spec["ingress"][0]["from"] == [{"podSelector": {}}]
    scraped = spec["ingress"][1]
    assert scraped["ports"] == [{"protocol": "TCP", "port": "metrics"}]
    assert scraped["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "observe"}
    assert not [each for each in made("vllm", network_policy=False).documents if each.kind == "NetworkPolicy"]


@pytest.mark.parametrize("engine", ENGINES)
def test_kserve_takes_every_engine(engine: str) -> None:
    body = document(made(engine, to="kserve", max_replicas=3), "InferenceService")
    jsonschema.validate(body, schema("kserve"))
    assert body["spec"]["predictor"]["maxReplicas"] == 3
    container = body["spec"]["predictor"]["containers"][0]
    own = server(made(engine))
    assert {**container, "name": "server"} == own  # the same container, whatever runs it


def test_transformers_without_an_image_goes_by_kserves_own_server() -> None:
    written = deploy("x", engine="transformers", model="Qwen/Qwen3-0.6B", to="kserve", dtype="bfloat16")
    assert isinstance(written, Written)
    body = document(written, "InferenceService")
    jsonschema.validate(body, schema("kserve"))
    assert "--backend=huggingface" in body["spec"]["predictor"]["model"]["args"]
    assert "--dtype=bfloat16" in body["spec"]["predictor"]["model"]["args"]
    with pytest.raises(SpecError, match="no option for quantization"):
        deploy("x", engine="transformers", model="Qwen/Qwen3-0.6B", to="kserve", quantization="bnb-4bit")


def test_helm_values_are_what_the_chart_takes() -> None:
    written = made(
        "vllm", to="helm-values", max_model_len=8192, tensor_parallel_size=2, enable_prefix_caching=False,
        max_replicas=3, gpu_type="NVIDIA-L4", revision="main", pull_secret="registry",
    )  # fmt: skip
    values = yaml.safe_load(written.text)
    jsonschema.validate(values, schema("production-stack"))
    stack = values["servingEngineSpec"]["modelSpec"][0]
    words = stack["vllmConfig"]["extraArgs"]
    assert words[words.index("--max-model-len") + 1] == "8192"
    assert not {"--host", "--port", "--revision", "--no-enable-prefix-caching", "serve"} & set(words)
    assert stack["vllmConfig"]["enablePrefixCaching"] is False
    assert stack["requestGPU"] == 2
    assert stack["hf_token"] == {"secretName": "huggingface", "secretKey": "token"}
    default = yaml.safe_load(made("vllm", to="helm-values").text)["servingEngineSpec"]["modelSpec"][0]
    assert default["vllmConfig"]["enablePrefixCaching"] is True  # the chart would turn off what was measured
    with pytest.raises(SpecError, match="no trigger of our own"):
        made("vllm", to="helm-values", max_replicas=2, queue=9)
    with pytest.raises(SpecError, match="is for vLLM, and this is SGLang"):
        made("sglang", to="helm-values")


@pytest.mark.parametrize("engine", ENGINES)
def test_compose_takes_every_engine(engine: str) -> None:
    written = made(engine, to="compose")
    project = yaml.safe_load(written.text)
    jsonschema.Draft7Validator(schema("compose-spec")).validate(project)
    service = project["services"]["my-llm"]
    assert all(each.startswith("127.0.0.1:") for each in service["ports"])
    assert service["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
    assert service["healthcheck"]["test"][0] == "CMD"
    own = server(made(engine))
    words = [*own.get("command", []), *own.get("args", [])]
    again = [*service.get("entrypoint", []), *service["command"]]
    assert [word.replace("$$", "$") for word in again] == words


def test_compose_mounts_a_local_model_where_it_lies() -> None:
    project = yaml.safe_load(made("llamacpp", model="tiny", to="compose", gpus_per_pod=0).text)
    service = project["services"]["my-llm"]
    mount = service["volumes"][0]
    assert Path(mount["source"]).is_file()
    assert mount["read_only"] is True
    assert mount["target"] in service["command"]
    assert "deploy" not in service


@pytest.fixture
def podman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """podman-compose asks podman for its version before it reads anything; where there is none, this says one."""
    monkeypatch.setenv("MY_LLM_API_KEY", "of-the-shell")
    if shutil.which("podman") is None:
        program = tmp_path / "bin" / "podman"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\necho podman version 5.0.0\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def composed(text: str, file: Path) -> Any:
    """What podman-compose reads in a compose file."""
    file.write_text(text)
    command = [sys.executable, "-m", "podman_compose", "-f", str(file), "config"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


@pytest.mark.parametrize("engine", ["vllm", "ollama"])
def test_a_real_parser_reads_the_compose_file(podman: None, tmp_path: Path, engine: str) -> None:
    written = made(engine, to="compose")
    ours = yaml.safe_load(written.text)["services"]["my-llm"]
    read = composed(written.text, tmp_path / "compose.yaml")["services"]["my-llm"]
    assert read["image"] == ours["image"]
    assert [each.replace("$$", "$") for each in ours["command"]] == read["command"]
    assert read["healthcheck"]["test"] == [each.replace("$$", "$") for each in ours["healthcheck"]["test"]]
    if engine == "vllm":
        assert "of-the-shell" in str(read["environment"])  # the key comes from the variable that the file names


def test_a_compose_file_that_is_wrong_is_refused_by_it(podman: None, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        composed(made("vllm", to="compose").text.replace("services:", "services: ["), tmp_path / "compose.yaml")


def test_a_folder_gets_one_file_a_document(tmp_path: Path) -> None:
    deploy("my_llm", engine="vllm", model="Qwen/Qwen3-0.6B", out=tmp_path / "k8s")
    names = sorted(each.name for each in (tmp_path / "k8s").iterdir())
    assert names[0] == "00-persistentvolumeclaim.yaml"
    kinds = [each["kind"] for name in names for each in yaml.safe_load_all((tmp_path / "k8s" / name).read_text())]
    assert kinds == [each.kind for each in made("vllm").documents]


@pytest.mark.parametrize(
    ("to", "out", "named"),
    [
        ("kubernetes", "a b.yaml", "'{}/a b.yaml'"),
        ("kubernetes", "k8s", "{}/k8s"),
        ("compose", "here", "{}/here/my-llm-compose.yaml"),
        ("helm-values", "v.yml", "{}/v.yml"),
    ],
)
def test_the_commands_name_the_place_that_was_written(tmp_path: Path, to: str, out: str, named: str) -> None:
    kept = deploy("my_llm", engine="vllm", model="Qwen/Qwen3-0.6B", to=to, out=tmp_path / out)
    assert isinstance(kept, Written)
    commands = [each for each in kept.then if " -f " in each]
    assert commands
    assert all(f" -f {named.format(tmp_path)}" in each for each in commands)


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("namespace", "Foo_Bar", "a name of Kubernetes'"),
        ("memory", "3Q", "32Gi"),
        ("gpu_type", "NVIDIA H100", "no blank"),
        ("model_pvc", "A:b", "CLAIM:PATH"),
    ],
)
def test_a_value_that_kubernetes_would_refuse_is_said_in_words(option: str, value: str, says: str) -> None:
    with pytest.raises(SpecError) as refused:
        made("vllm", **{option: value})
    assert f"{option}: {value} - takes " in refused.value.what
    assert says in refused.value.what


def test_a_pod_with_fewer_gpus_than_the_model_is_split_over_is_refused() -> None:
    with pytest.raises(SpecError, match="split over 4 GPUs, and a pod has 2") as refused:
        made("vllm", tensor_parallel_size=4, gpus_per_pod=2)
    assert "gpus_per_pod: 4" in refused.value.then
    limits = server(made("vllm", tensor_parallel_size=4, gpus_per_pod=8))["resources"]["limits"]
    assert limits == {"nvidia.com/gpu": "8"}


def test_an_amount_may_be_written_as_a_number() -> None:
    assert server(made("vllm", cpu=8, memory="32Gi"))["resources"]["requests"] == {"cpu": "8", "memory": "32Gi"}


def test_a_place_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpecError, match="cannot be written"):
        deploy("my_llm", engine="vllm", model="Qwen/Qwen3-0.6B", out=tmp_path / "file" / "x.yaml")


def test_a_name_nobody_served_says_what_to_do() -> None:
    with pytest.raises(SpecError, match="nothing says what to deploy") as refused:
        deploy("nobody")
    assert "--engine" in refused.value.then


def test_what_was_served_is_what_is_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    from llm_magics.runtime import registry
    from llm_magics.runtime.record import Record

    served = spec_of("q", {"engine": "vllm", "model": "Qwen/Qwen3-0.6B", "max_model_len": 4096, "gpus": [0, 1]})
    record = Record(
        "q", "vllm", served.model, "stopped", 0.0, "127.0.0.1", served.reuse_key, served.identity, {"pid": 1},
        timeout=1800.0,
    )  # fmt: skip
    monkeypatch.setattr(registry.Registry, "get", lambda _self, name: record if name == "q" else None)
    again = spec_of("q", {"max_num_seqs": 8})
    assert (again.max_model_len, again.max_num_seqs, again.gpus) == (4096, 8, [0, 1])
    container = server(written(again, Deployment()))
    probe = container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 1800  # the time that it was given here
    assert spec_of("q", {"timeout": 60}).timeout == 60
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "2"}
    assert container["command"][container["command"].index("--max-model-len") + 1] == "4096"
