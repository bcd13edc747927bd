"""Values for vLLM's production-stack chart, which puts a router before the engines.

The chart writes a few flags itself (helm/templates/deployment-vllm-multi.yaml at a6c01db: model, host, port, prefix
caching, revision); all others are the adapter's words, passed through `extraArgs`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_magics.deployment import kubernetes
from llm_magics.deployment.documents import Document, Written
from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.deployment.pod import Pod
    from llm_magics.spec.deployment import Deployment

_CHART = "https://vllm-project.github.io/production-stack"
_SAID = {"--host": 2, "--port": 2, "--revision": 2, "--enable-prefix-caching": 1, "--no-enable-prefix-caching": 1}
_CPU, _MEMORY = 6, "16Gi"  # what the chart's own example promises a pod; it takes no values without


def values(pod: Pod, deployment: Deployment) -> Written:
    """The chart's values for a server.

    Raises
    ------
    SpecError
        When the engine is not vLLM, or the model does not come from a hub.
    """
    if pod.engine.key != "vllm":
        raise SpecError(
            f"--to helm-values is for vLLM, and this is {pod.engine.title}.",
            why="production-stack is vLLM's chart: it runs no other engine",
            then="--to kubernetes or --to kserve, or deploy it with --engine vllm",
        )
    if pod.claim and pod.claim[1] != pod.cache:
        raise SpecError(
            "production-stack's chart takes a hub's model here.", why="a local copy would need its own volumes",
            then="model: a hub id, or --to kubernetes",
        )  # fmt: skip
    repository, _, tag = pod.image.rpartition(":") if ":" in pod.image.rsplit("/", 1)[-1] else (pod.image, "", "latest")
    spec, model = pod.spec, pod.spec.model
    stack: dict[str, Any] = {
        "name": pod.name,
        "repository": repository,
        "tag": tag,
        "modelURL": model,
        "replicaCount": deployment.replicas,
        "requestCPU": _cpu(deployment.cpu),
        "requestMemory": deployment.memory or _MEMORY,
        "requestGPU": pod.gpus,
        "vllmConfig": {
            # Left alone the chart turns it off; vLLM's own default, which was measured, is on.
            "enablePrefixCaching": spec.enable_prefix_caching is not False,
            "extraArgs": _rest(pod.command),
        },
        # The chart has a folder of its own for the hub's models.
        "env": [{"name": key, "value": value} for key, value in sorted(pod.env.items()) if "HUB_CACHE" not in key],
        "shmSize": pod.shm,
        "hf_token": {"secretName": "huggingface", "secretKey": "token"},
    }  # fmt: skip
    if spec.revision:
        stack["modelRevision"] = spec.revision
    if deployment.gpu_resource != "nvidia.com/gpu":
        stack["requestGPUType"] = deployment.gpu_resource
    if pod.claim:
        stack |= {"pvcExistingClaimName": pod.claim[0], "pvcStorage": deployment.cache}
    else:
        many = max(deployment.replicas, deployment.max_replicas or 1) > 1
        stack |= {"pvcStorage": deployment.cache, "pvcAccessMode": ["ReadWriteMany" if many else "ReadWriteOnce"]}
        stack |= {"storageClass": deployment.storage_class} if deployment.storage_class else {}
    if deployment.gpu_type:
        match = {"key": "nvidia.com/gpu.product", "operator": "In", "values": [deployment.gpu_type]}
        stack["nodeSelectorTerms"] = [{"matchExpressions": [match]}]
    if deployment.pull_secret:
        stack["imagePullSecret"] = deployment.pull_secret
    if deployment.max_replicas:
        stack["keda"] = _growth(deployment)
    key = pod.secrets[pod.engine.key_env or ""]
    engine: dict[str, Any] = {
        "vllmApiKey": {"secretName": key.secret, "secretKey": key.key},
        "containerPort": pod.port,
        "startupProbe": {"initialDelaySeconds": 15, "periodSeconds": 10, "failureThreshold": -(-int(pod.startup) // 10),
                         "httpGet": {"path": pod.ready, "port": pod.port}},
        "serviceMonitor": {"enabled": deployment.service_monitor},
        "modelSpec": [stack],
    }  # fmt: skip
    if not pod.gpus:
        engine["runtimeClassName"] = ""
    space, file = f"--namespace {deployment.namespace}", f"{pod.name}-values.yaml"
    first = [f"helm repo add vllm {_CHART}", *kubernetes.secrets_to_make(pod, deployment)]
    then = [
        f"helm upgrade --install {pod.name} vllm/vllm-stack {space} -f {file}",
        f"helm rollback {pod.name} {space}    # undoes an update",
        f"helm uninstall {pod.name} {space}    # undoes all of it",
    ]
    notes = [note for note in kubernetes.notes(pod, deployment) if "no memory is promised" not in note]
    notes.append("the chart's pods wait for the Secret huggingface too: for an open model make it with an empty token")
    if not (deployment.cpu and deployment.memory):
        notes.append(f"the chart wants a promise of CPU and memory: its own example's {_CPU} and {_MEMORY} stand here")
    documents = [Document({"servingEngineSpec": engine})]
    return Written("helm-values", spec.name, deployment.namespace, file, documents, first=first, then=then, notes=notes)


def _rest(command: list[str]) -> list[str]:
    """The words after `vllm serve MODEL`, without those that the chart says itself."""
    words, left = [], 0
    for word in command[3:]:
        if left:
            left -= 1
        elif word in _SAID:
            left = _SAID[word] - 1
        else:
            words.append(word)
    return words


def _growth(deployment: Deployment) -> dict[str, Any]:
    """KEDA by the chart's own trigger: 5 requests that wait, asked of the usual Prometheus.

    One of our own cannot be said: the chart's schema takes a mapping (values.schema.json: keda.triggers), its template
    writes it where KEDA wants a list.
    """
    usual = type(deployment)()
    if (deployment.queue, deployment.prometheus) != (usual.queue, usual.prometheus):
        raise SpecError(
            "production-stack's chart takes no trigger of our own: queue and prometheus are its own.",
            why="its schema wants a mapping where KEDA wants a list", then="leave both out, or --to kubernetes",
        )  # fmt: skip
    most = max(deployment.replicas, deployment.max_replicas or 1)
    return {"enabled": True, "minReplicaCount": deployment.replicas, "maxReplicaCount": most}


def _cpu(quantity: str | None) -> int:
    if quantity is None:
        return _CPU
    return max(1, int(quantity[:-1]) // 1000) if quantity.endswith("m") else max(1, int(float(quantity)))
