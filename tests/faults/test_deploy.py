"""Everything that can go wrong between a manifest and a server that answers, and what is left in the cluster then.

Each refusal is what a user reads at that moment: the reason, the remedy; and nothing half-applied without saying so.
"""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import scripted_cluster
from scripted_api import ScriptedApi
from scripted_cluster import ScriptedCluster, pod, status
from scripted_kubectl import install
from waiting import until

from llm_magics.api.benching import bench
from llm_magics.api.deploying import deploy
from llm_magics.deployment import apply as applying
from llm_magics.deployment.rollout import Rolled
from llm_magics.errors import DeployError, TargetError

pytest.importorskip("kubernetes", reason="the cluster's Python client is not installed: pip install 'llm-magics[k8s]'")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedCluster]:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "rt"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    usual = applying.applied
    monkeypatch.setattr(applying, "applied", lambda *given, **named: usual(*given, pause=0.01, patience=0.2, **named))
    with scripted_cluster.cluster() as here:
        here.nodes = [{
            "metadata": {"labels": {"nvidia.com/gpu.product": "NVIDIA-L4"}},
            "status": {"allocatable": {"nvidia.com/gpu": "4"}},
        }]  # fmt: skip
        here.objects["llm/secrets/my-llm-api-key"] = {"data": {"api-key": base64.b64encode(b"sk-pods\n").decode()}}
        monkeypatch.setenv("KUBECONFIG", str(here.kubeconfig(tmp_path)))
        yield here


def rolled(stages: list[str] | None = None, **options: Any) -> Rolled:
    given = {"engine": "vllm", "model": "Qwen/Qwen3-0.6B", "namespace": "llm", **options}
    done = deploy("my_llm", apply=True, on_stage=(stages if stages is not None else []).append, **given)
    assert isinstance(done, Rolled)
    return done


def refused(**options: Any) -> DeployError:
    with pytest.raises(DeployError) as error:
        rolled(**options)
    assert error.value.why
    assert error.value.then
    return error.value


def test_a_rollout_is_followed_to_its_end(cluster: ScriptedCluster) -> None:
    cluster.ready = 5
    cluster.logs["my-llm-7d9"] = "Loading safetensors checkpoint shards:  50%"
    steps = [[], [pod(waiting=("ContainerCreating", ""))], [pod(running=True)], [pod(running=True)], [pod(ready=True)]]
    cluster.pods = lambda look: steps[min(look, len(steps)) - 1]
    stages: list[str] = []
    done = rolled(stages)
    assert cluster.applied() == [each for each in cluster.applied() if "fieldManager=llm-magics" in each]
    assert "waiting for the first pod" in stages
    assert "my-llm-7d9: pulling the image" in stages
    assert "my-llm-7d9: loading weights 50 %" in stages  # the adapter's own words
    assert "deployment/my-llm" in done.created
    assert "kubectl delete --namespace llm" in done.undo
    assert "%bench k8s://llm/my-llm" in str(done)
    with pytest.raises(TargetError) as nobody:  # a name is a server here: the cluster is told, never taken
        bench("my_llm", requests=1)
    assert nobody.value.then == "start it: `%serve my_llm`; as it was deployed: `%bench k8s://llm/my-llm`"


def test_everything_is_tried_dry_before_anything_is_written(cluster: ScriptedCluster) -> None:
    rolled()
    dry = [index for index, each in enumerate(cluster.asked) if "dryRun=All" in each]
    wet = [index for index, each in enumerate(cluster.asked) if each.startswith("PATCH") and "dryRun" not in each]
    assert len(dry) == len(wet) == 5
    assert max(dry) < min(wet)


def test_a_change_is_undone_by_the_rollout_before_it(cluster: ScriptedCluster) -> None:
    rolled()
    again = rolled(max_num_seqs=8)
    assert "deployment/my-llm" in again.changed
    assert not again.created
    assert again.undo == "`kubectl rollout undo --namespace llm deployment/my-llm`"


def test_no_cluster_is_named(tmp_path: Path, cluster: ScriptedCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert "which cluster" in refused().what
    assert not cluster.asked


@pytest.mark.parametrize(
    "text", ["not: [yaml", "just text", '{"current-context": "here", "contexts": [{"name": "here"}]}']
)
def test_a_kubeconfig_that_is_damaged(
    tmp_path: Path, cluster: ScriptedCluster, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "damaged").write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "damaged"))
    assert refused().what in ("The kubeconfig cannot be read.", "Nothing says which cluster is meant.")
    assert not cluster.asked


def test_a_context_that_is_not_there(cluster: ScriptedCluster) -> None:
    assert "which cluster" in refused(context="elsewhere").what


def test_a_cluster_that_does_not_answer(cluster: ScriptedCluster, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    cluster.url = f"http://127.0.0.1:{port}"
    cluster.kubeconfig(tmp_path)
    error = refused()
    assert f"127.0.0.1:{port} does not answer" in error.what
    assert "cluster-info" in error.then


@pytest.mark.parametrize(
    ("code", "message", "what", "then"),
    [
        (401, "Unauthorized", "does not know you", "log in again"),
        (403, 'deployments.apps is forbidden: User "me" cannot patch', "does not allow it", "kubectl auth can-i"),
        (403, "exceeded quota: gpus, requested: 1, limited: 0", "has no room", "quota"),
        (409, "Apply failed with 1 conflict", "somebody else", "--force-conflicts"),
        (500, "etcdserver: request timed out", "fails", "readyz"),
    ],
)
def test_what_the_cluster_refuses_is_said_before_anything_is_written(
    cluster: ScriptedCluster, code: int, message: str, what: str, then: str
) -> None:
    cluster.refuse = lambda method, path, _: status(code, message) if method == "PATCH" and "deploy" in path else None
    error = refused()
    assert what in error.what
    assert message in error.why
    assert then in error.then
    assert cluster.applied() == []


def test_an_invalid_manifest_is_named_by_its_field(cluster: ScriptedCluster) -> None:
    causes = [{"field": "spec.template.spec.containers[0].image", "message": "Required value"}]
    answer = status(422, "Deployment is invalid", causes=causes)
    cluster.refuse = lambda method, path, _: answer if method == "PATCH" and "deployments" in path else None
    error = refused()
    assert "invalid" in error.what
    assert error.why == "spec.template.spec.containers[0].image: Required value"
    assert cluster.applied() == []


def test_a_namespace_that_is_not_there(cluster: ScriptedCluster) -> None:
    error = refused(namespace="nowhere")
    assert "no namespace nowhere" in error.what
    assert "kubectl create namespace nowhere" in error.then
    assert cluster.applied() == []


def test_a_gpu_type_that_the_cluster_lacks(cluster: ScriptedCluster) -> None:
    error = refused(gpu_type="NVIDIA-H100-80GB-HBM3")
    assert "no GPU of the type NVIDIA-H100-80GB-HBM3" in error.what
    assert "NVIDIA-L4" in error.why
    assert cluster.applied() == []


def test_more_gpus_than_any_node_has(cluster: ScriptedCluster) -> None:
    error = refused(tensor_parallel_size=8)
    assert "No node of the cluster has 8 GPUs" in error.what
    assert error.why == "the largest has 4"


def test_a_missing_secret_is_told_with_the_command_that_makes_it(cluster: ScriptedCluster) -> None:
    del cluster.objects["llm/secrets/my-llm-api-key"]
    error = refused()
    assert "no Secret my-llm-api-key" in error.what
    assert error.then.startswith("openssl rand -hex 32 | kubectl create secret generic my-llm-api-key --namespace llm")
    assert cluster.applied() == []


def test_secrets_and_nodes_that_may_not_be_read_stop_nothing(cluster: ScriptedCluster) -> None:
    hidden = status(403, "secrets is forbidden")
    cluster.refuse = lambda method, path, _: (
        hidden if method == "GET" and ("secrets" in path or "nodes" in path) else None
    )
    stages: list[str] = []
    assert "deployment/my-llm" in rolled(stages).created
    assert any("reading Secrets is not allowed" in each for each in stages)


def test_a_cluster_without_the_prometheus_operator_gets_the_rest(cluster: ScriptedCluster) -> None:
    cluster.refuse = lambda _method, path, _: (404, "404 page not found") if "servicemonitors" in path else None
    done = rolled()
    assert done.left_out == ["ServiceMonitor: this cluster has none, the Prometheus operator is not installed"]
    assert "left out" in str(done)
    assert not any("servicemonitor/" in each for each in done.created)


def test_keda_that_was_asked_for_and_is_not_there_is_refused(cluster: ScriptedCluster) -> None:
    cluster.refuse = lambda _method, path, _: (404, "404 page not found") if "scaledobjects" in path else None
    error = refused(max_replicas=3, autoscale="keda")
    assert "does not know ScaledObject" in error.what
    assert "install KEDA" in error.then
    assert cluster.applied() == []


def test_what_is_half_applied_is_said_with_how_to_undo_it(cluster: ScriptedCluster) -> None:
    cluster.refuse = lambda method, path, dry: (
        status(500, "etcdserver: leader changed") if method == "PATCH" and "services" in path and not dry else None
    )
    error = refused()
    assert "created: persistentvolumeclaim/my-llm-models, deployment/my-llm" in error.why
    assert "kubectl delete --namespace llm persistentvolumeclaim/my-llm-models deployment/my-llm" in error.then


TROUBLE = [
    (pod(waiting=("ImagePullBackOff", "Back-off pulling image: not found")), "cannot be pulled", "--pull-secret"),
    (pod(waiting=("ErrImagePull", "unauthorized")), "cannot be pulled", "--image"),
    (pod(waiting=("CreateContainerConfigError", 'secret "my-llm-env" not found')), "cannot be made", "my-llm-env"),
    (pod(scheduled="0/3 nodes are available: 3 Insufficient nvidia.com/gpu."), "No node takes", "GPUs are in use"),
    (pod(scheduled="0/3 nodes: 3 node(s) didn't match Pod's node affinity/selector."), "No node takes", "--gpu-type"),
    (pod(scheduled="pod has unbound immediate PersistentVolumeClaims"), "No node takes", "--storage-class"),
    (pod(ended=137, reason="OOMKilled"), "more memory than the pod may", "--memory"),
    (pod(ended=1), "ended in its pod: max_model_len 999 is longer", "max_model_len: 512"),
]  # fmt: skip


@pytest.mark.parametrize(("state", "what", "then"), TROUBLE, ids=[each[2] for each in TROUBLE])
def test_a_rollout_that_fails_says_why_and_what_is_there(
    cluster: ScriptedCluster, state: Any, what: str, then: str
) -> None:
    cluster.ready = None
    cluster.pods = lambda _: [state]
    cluster.logs["my-llm-7d9-previous"] = (
        "ValueError: User-specified max_model_len (999) is greater than the derived max_model_len "
        "(max_position_embeddings=512 or model_max_length=None in model's config.json)"
    )
    error = refused()
    assert what in error.what
    assert then in error.then
    assert "in llm now: created:" in error.why
    assert "kubectl delete --namespace llm" in error.then


def test_no_room_that_passes_by_itself_is_waited_for(cluster: ScriptedCluster) -> None:
    cluster.ready = 4
    cluster.pods = lambda look: [pod(scheduled="0/1 nodes: 1 Insufficient nvidia.com/gpu.") if look < 3 else pod()]
    assert "deployment/my-llm" in rolled().created


def test_a_quota_that_lets_no_pod_be_made(cluster: ScriptedCluster) -> None:
    cluster.ready = None
    message = 'pods "my-llm" is forbidden: exceeded quota: compute, requested: requests.nvidia.com/gpu=1'
    cluster.condition = {"type": "ReplicaFailure", "status": "True", "message": message}
    error = refused()
    assert "quota" in error.what
    assert message in error.why


def test_a_rollout_that_takes_too_long(cluster: ScriptedCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    from llm_magics.deployment import rollout

    monkeypatch.setattr(rollout, "SLACK", 0.0)
    cluster.ready = None
    cluster.pods = lambda _: [pod(running=True)]
    error = refused(timeout=0.3)
    assert "not ready after 0.3 s" in error.what
    assert "last seen: my-llm-7d9: starting" in error.why


def test_kserve_is_followed_too(cluster: ScriptedCluster) -> None:
    cluster.ready = 2
    cluster.pods = lambda _: [pod(running=True)]
    assert "inferenceservice/my-llm" in rolled(to="kserve").created


def test_a_wish_for_a_cluster_that_compose_cannot_fulfil(cluster: ScriptedCluster) -> None:
    from llm_magics.errors import SpecError

    with pytest.raises(SpecError, match="--apply is for clusters"):
        rolled(to="compose")


def test_ctrl_c_leaves_the_rollout_and_says_so(cluster: ScriptedCluster) -> None:
    cluster.ready = None
    stages: list[str] = []

    def interrupted(_: int) -> list[Any]:
        return [pod(running=True)]

    cluster.pods = interrupted

    def at(stage: str) -> None:
        stages.append(stage)
        if stage.endswith("starting"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deploy("my_llm", engine="vllm", model="Qwen/Qwen3-0.6B", namespace="llm", apply=True, on_stage=at)
    assert "it goes on" in stages[-1]
    assert "kubectl delete" in stages[-1]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("engine", ["vllm", "triton", "ollama"])
def test_kubectl_reads_every_document(cluster: ScriptedCluster, tmp_path: Path, engine: str) -> None:
    file = tmp_path / "m.yaml"
    model = "qwen3:0.6b" if engine == "ollama" else "Qwen/Qwen3-0.6B"
    made = deploy(
        "my_llm", engine=engine, model=model, out=file, namespace="llm", max_replicas=1 if engine != "ollama" else None
    )
    command = ["kubectl", "create", "--dry-run=client", "--validate=false", "-o", "name", "-f", str(file)]
    env = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == len(made.documents)  # type: ignore[union-attr]
    assert not [each for each in cluster.asked if each.startswith(("POST", "PATCH"))]


# Through a port-forward.


@pytest.fixture
def behind(cluster: ScriptedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedApi]:
    """A deployment in the cluster, whose pod is an API of this machine behind a scripted kubectl."""
    rolled()
    install(tmp_path / "bin")
    api = ScriptedApi(api_key="sk-pods")
    api.models = ["Qwen/Qwen3-0.6B"]
    with api.running():
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
        monkeypatch.setenv("TO_PORT", str(api.port))
        monkeypatch.setenv("PID_FILE", str(tmp_path / "pid"))
        yield api


def gone(tmp_path: Path) -> bool:
    file = tmp_path / "pid"
    if not file.exists() or not (said := file.read_text()):
        return True  # it was ended before it came so far
    number = int(said)
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    return "\nState:\tZ" in Path(f"/proc/{number}/status").read_text()


WORK: dict[str, Any] = {"requests": 4, "concurrency": 2, "input_tokens": 8, "output_tokens": 2, "warmup": 0}


def test_a_bench_goes_through_a_port_forward_that_ends_with_it(behind: ScriptedApi, tmp_path: Path) -> None:
    run = bench("k8s://llm/my-llm", **WORK)
    assert run.points[0]["completed"] == 4
    assert run.header["engine"] == "vllm"
    assert run.header["model"] == "Qwen/Qwen3-0.6B"
    assert "vllm serve Qwen/Qwen3-0.6B" in run.header["command"]
    assert any("port-forward" in each for each in run.flags)
    assert all("Bearer sk-pods" in head for head in behind.heads if "/v1/" in head)  # the Secret's, trimmed
    assert "sk-pods" not in str(run.header)
    until(lambda: gone(tmp_path))


def test_a_port_forward_that_dies_ends_the_run_and_says_so(
    behind: ScriptedApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOOD", "dies")
    monkeypatch.setenv("AFTER", "2.5")
    run = bench("k8s://llm/my-llm", **{**WORK, "requests": 100_000})
    assert run.partial
    assert "lost connection to pod" in run.header["server_ended"]
    until(lambda: gone(tmp_path))


@pytest.mark.parametrize(("mood", "why"), [("refused", "Status=Pending"), ("silent", "no port was opened")])
def test_a_port_forward_that_does_not_open(
    behind: ScriptedApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mood: str, why: str
) -> None:
    from llm_magics.deployment import forward

    monkeypatch.setenv("MOOD", mood)
    usual = forward.Forward
    patience = 1.5 if mood == "silent" else 60.0
    monkeypatch.setattr(forward, "Forward", lambda *given, **named: usual(*given, patience=patience, **named))
    with pytest.raises(TargetError, match="No port-forward") as error:
        bench("k8s://llm/my-llm", **WORK)
    assert why.lower() in error.value.why.lower()
    until(lambda: gone(tmp_path))


def test_a_pod_that_refuses_the_key_leaves_no_port_forward(behind: ScriptedApi, tmp_path: Path) -> None:
    behind.api_key = "another"
    with pytest.raises(TargetError, match="refuses the API key"):
        bench("k8s://llm/my-llm", **WORK)
    until(lambda: gone(tmp_path))


def test_a_killed_kernel_leaves_no_port_forward(behind: ScriptedApi, tmp_path: Path) -> None:
    program = (
        "import time; from llm_magics.deployment.forward import Forward; f = Forward('llm', 'service/my-llm', 80); "
        "print(f.port, flush=True); time.sleep(60)"
    )
    kernel = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert kernel.stdout is not None
    assert int(kernel.stdout.readline()) > 0
    assert not gone(tmp_path)
    kernel.kill()
    kernel.wait()
    until(lambda: gone(tmp_path))


def test_deployments_that_are_not_there_or_not_ready(cluster: ScriptedCluster) -> None:
    rolled()
    with pytest.raises(TargetError, match="no deployment qwen in llm") as error:
        bench("k8s://llm/qwen", **WORK)
    assert "my-llm" in error.value.why
    with pytest.raises(TargetError, match="names no deployment"):
        bench("k8s://llm", **WORK)
    cluster.ready = None
    with pytest.raises(TargetError, match="No pod of my-llm is ready"):
        bench("k8s://llm/my-llm", **WORK)


def test_a_key_that_may_not_be_read_can_be_given(behind: ScriptedApi, cluster: ScriptedCluster) -> None:
    hidden = status(403, "secrets is forbidden")
    cluster.refuse = lambda method, path, _: hidden if method == "GET" and "secrets" in path else None
    with pytest.raises(TargetError, match="cannot be read") as error:
        bench("k8s://llm/my-llm", **WORK)
    assert "--api-key" in error.value.then
    assert bench("k8s://llm/my-llm", api_key="sk-pods", **WORK).points[0]["completed"] == 4
