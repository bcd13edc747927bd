"""A `Pod` in Kubernetes' words: the container, its volumes and the template around it.

Written once: a Deployment, KServe's predictor and the helm chart's extra volumes all hold parts of it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from llm_magics.deployment.pod import DRAIN, FILES

if TYPE_CHECKING:
    from llm_magics.deployment.pod import Pod
    from llm_magics.spec.deployment import Deployment

OWNER = "llm-magics"
_PERIOD = 10  # s between two questions at the start


def labels(pod: Pod) -> dict[str, str]:
    """Labels of everything that belongs to a deployment."""
    return {
        "app.kubernetes.io/name": pod.engine.key.replace("_", "-"),
        "app.kubernetes.io/instance": pod.name,
        "app.kubernetes.io/managed-by": OWNER,
    }


def selector(pod: Pod) -> dict[str, str]:
    """Labels that find its pods, which never change: a Deployment's selector cannot."""
    return {"app.kubernetes.io/instance": pod.name, "app.kubernetes.io/managed-by": OWNER}


def marks(pod: Pod) -> dict[str, str]:
    """What `%%bench k8s://…` must know of it: engine, model, the name a request gives."""
    return {
        f"{OWNER}/engine": pod.engine.key,
        f"{OWNER}/model": pod.spec.model,
        f"{OWNER}/served-model": pod.served_model,
        f"{OWNER}/version": pod.image,
    }


def spec(pod: Pod, deployment: Deployment) -> dict[str, Any]:
    """The pod's `spec`."""
    made: dict[str, Any] = {
        # A Service called vllm would set VLLM_PORT in every pod of the namespace, which vLLM reads as its own.
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": DRAIN + math.ceil(pod.grace),
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
    }
    if deployment.pull_secret:
        made["imagePullSecrets"] = [{"name": deployment.pull_secret}]
    if deployment.gpu_type:
        made["nodeSelector"] = {"nvidia.com/gpu.product": deployment.gpu_type}
    if pod.gpus:
        made["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    if pod.prepare:
        made["initContainers"] = [
            {
                "name": "put-in",
                "image": pod.image,
                "command": _kept(pod.prepare),
                "env": variables(pod),
                "volumeMounts": mounts(pod),
                "securityContext": {"allowPrivilegeEscalation": False},
            }
        ]
    made["containers"] = [container(pod, deployment)]
    if held := volumes(pod):
        made["volumes"] = held
    return made


def container(pod: Pod, deployment: Deployment, name: str = "server") -> dict[str, Any]:
    """The container that serves."""
    ports = [{"name": "http", "containerPort": pod.port}]
    if pod.metrics_port != pod.port:
        ports.append({"name": "metrics", "containerPort": pod.metrics_port})
    made = {
        "name": name,
        "image": pod.image,
        "command": _kept(pod.command),
        "args": _kept(pod.args),
        "env": variables(pod),
        "ports": ports,
        "startupProbe": {**asked(pod.ready), "periodSeconds": _PERIOD, "timeoutSeconds": 5,
                         "failureThreshold": math.ceil(pod.startup / _PERIOD)},
        "readinessProbe": {**asked(pod.ready), "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 3},
        # A server under full load answers late, and a restart costs a load of the weights: two minutes of silence.
        "livenessProbe": {**asked(pod.alive), "periodSeconds": 30, "timeoutSeconds": 30, "failureThreshold": 4},
        "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN}}},
        "resources": resources(pod, deployment),
        "volumeMounts": mounts(pod),
        "securityContext": {"allowPrivilegeEscalation": False},
    }  # fmt: skip
    return {key: value for key, value in made.items() if value}


def _kept(words: list[str]) -> list[str]:
    """Words as they are: Kubernetes would put a variable's value in for `$(NAME)`."""
    return [word.replace("$(", "$$(") for word in words]


def asked(page: str) -> dict[str, Any]:
    """A probe's question."""
    return {"httpGet": {"path": page, "port": "http"}}


def variables(pod: Pod) -> list[dict[str, Any]]:
    """The variables; secret ones by the Secret's name."""
    named = []
    for key, where in pod.secrets.items():
        source: dict[str, Any] = {"name": where.secret, "key": where.key}
        source |= {"optional": True} if where.optional else {}
        named.append({"name": key, "valueFrom": {"secretKeyRef": source}})
    return [{"name": key, "value": value} for key, value in sorted(pod.env.items())] + named


def resources(pod: Pod, deployment: Deployment) -> dict[str, Any]:
    """What a pod is promised; GPUs are limits, which Kubernetes takes for requests too."""
    promised = {"cpu": deployment.cpu, "memory": deployment.memory}
    requests = {key: value for key, value in promised.items() if value}
    limits = {deployment.gpu_resource: str(pod.gpus)} if pod.gpus else {}
    return {key: value for key, value in (("requests", requests), ("limits", limits)) if value}


def mounts(pod: Pod) -> list[dict[str, Any]]:
    """Where the volumes are."""
    found: list[dict[str, Any]] = []
    if pod.cache and not (pod.claim and pod.claim[1] == pod.cache):
        found.append({"name": "models", "mountPath": pod.cache})
    if pod.claim:
        read: dict[str, Any] = {} if pod.claim[1] == pod.cache else {"readOnly": True}
        found.append({"name": "claim", "mountPath": pod.claim[1]} | read)
    if pod.shm:
        found.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108 - the pod's
    if pod.files:
        found.append({"name": "files", "mountPath": FILES, "readOnly": True})
    return found


def volumes(pod: Pod) -> list[dict[str, Any]]:
    """The volumes."""
    found: list[dict[str, Any]] = []
    if needs_claim(pod):
        found.append({"name": "models", "persistentVolumeClaim": {"claimName": f"{pod.name}-models"}})
    if pod.claim:
        read: dict[str, Any] = {} if pod.claim[1] == pod.cache else {"readOnly": True}
        found.append({"name": "claim", "persistentVolumeClaim": {"claimName": pod.claim[0]} | read})
    if pod.shm:
        found.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": pod.shm}})
    if pod.files:
        found.append({"name": "files", "configMap": {"name": f"{pod.name}-files"}})
    return found


def needs_claim(pod: Pod) -> bool:
    """Whether a claim of its own keeps what it downloads."""
    return bool(pod.cache) and not (pod.claim and pod.claim[1] == pod.cache)
