"""What a pod waits for, in words, and what it is that will not pass by itself.

An engine that ended in its pod is diagnosed by the same signatures as one that ended on this machine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_magics.errors import DeployError

if TYPE_CHECKING:
    from llm_magics.deployment.cluster import Cluster
    from llm_magics.deployment.documents import Document
    from llm_magics.engines.base import Engine

_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
_CONFIG = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")


@dataclass(frozen=True)
class State:
    """A pod's state: in words, what is wrong if anything is, and whether that can pass (`at_once`: it cannot)."""

    words: str
    wrong: DeployError | None = None
    at_once: bool = True


def states(cluster: Cluster, root: Document, namespace: str, engine: Engine) -> list[State]:
    """The states of what serves, those in trouble first, then those that are not ready, the newest first."""
    mark = "app.kubernetes.io/instance" if root.kind == "Deployment" else "serving.kserve.io/inferenceservice"
    said = cluster.get("Pod", namespace, labelSelector=f"{mark}={root.name}")
    pods = [pod for pod in (said.body.get("items", []) if said.ok else []) if not _leaves(pod)]
    pods.sort(key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), reverse=True)
    found = [_state(cluster, pod, namespace, engine) for pod in pods]
    return sorted(found, key=lambda state: (state.wrong is None, state.words == "ready"))


def _leaves(pod: Any) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _state(cluster: Cluster, pod: Any, namespace: str, engine: Engine) -> State:
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    for condition in status.get("conditions", []):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            message = str(condition.get("message", ""))
            return State(f"{name}: no node takes it ({message})", _unscheduled(message), at_once=False)
    containers = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    for each in containers:
        if (found := _held_up(name, each) or _crashed(cluster, name, each, namespace, engine)) is not None:
            return found
    if any(each.get("type") == "Ready" and each.get("status") == "True" for each in status.get("conditions", [])):
        return State("ready")
    if any(_runs(each) for each in status.get("initContainerStatuses", [])):
        return State(f"{name}: putting the model in")
    if any(_runs(each) for each in containers):
        stages = [word for line in cluster.log(namespace, name, lines=50) if (word := engine.stage(line))]
        return State(f"{name}: {stages[-1] if stages else 'starting'}")
    return State(f"{name}: pulling the image")


def _runs(container: Any) -> bool:
    return "running" in (container.get("state") or {})


def _held_up(name: str, container: Any) -> State | None:
    """A container that cannot be made: its image, or what it wants to read."""
    waiting = (container.get("state") or {}).get("waiting") or {}
    reason, message = str(waiting.get("reason", "")), str(waiting.get("message", ""))
    if reason in _IMAGE:
        error = DeployError(
            f"The image {container.get('image') or 'of the pod'} cannot be pulled.", why=message or reason,
            then="check --image and its tag; for a private registry --pull-secret NAME",
        )  # fmt: skip
        return State(f"{name}: {reason}", error, at_once=reason != "ErrImagePull")
    if reason in _CONFIG:
        missing = re.search(r'(secret|configmap) "([^"]+)" not found', message)
        then = f"make the {missing[1]} {missing[2]}: the file's head says how" if missing else "correct what it names"
        return State(
            f"{name}: {reason}", DeployError("The container cannot be made.", why=message or reason, then=then)
        )
    return None


def _crashed(cluster: Cluster, name: str, container: Any, namespace: str, engine: Engine) -> State | None:
    """An engine that ended, and why, by its own log."""
    state, last = container.get("state") or {}, container.get("lastState") or {}
    ended = last.get("terminated") or state.get("terminated") or {}
    loops = (state.get("waiting") or {}).get("reason") == "CrashLoopBackOff"
    if not loops and not ended.get("exitCode"):
        return None
    key = str(container.get("name", ""))
    log = cluster.log(namespace, name, previous=True, container=key) or cluster.log(namespace, name, container=key)
    whole = f"the whole log: `kubectl logs --namespace {namespace} {name} --previous`"
    if ended.get("reason") == "OOMKilled":
        what, why = f"{engine.title} was killed: it took more memory than the pod may.", "OOMKilled"
        then = "--memory with more, or a smaller model"
    elif diagnosis := engine.diagnose(log):
        what, why, then = f"{engine.title} ended in its pod: {diagnosis.cause}.", diagnosis.line, diagnosis.remedy
    else:
        what = f"{engine.title} ended in its pod (exit status {ended.get('exitCode', 'unknown')})."
        why, then = "\n".join(log[-6:]) or str(ended.get("reason", "")), "correct what its log says"
    return State(f"{name}: it ended", DeployError(what, why=why, then=f"{then}; {whole}"))


def _unscheduled(message: str) -> DeployError:
    if "unbound immediate PersistentVolumeClaims" in message:
        then = "the claim finds no volume: --storage-class NAME (`kubectl get storageclass`), or --model-pvc CLAIM"
    elif "Insufficient nvidia.com" in message:
        then = "its GPUs are in use: wait or free some, --gpus-per-pod, or add a node"
    elif "affinity" in message or "selector" in message:
        then = "no node has that label: --gpu-type with one of `kubectl get nodes -L nvidia.com/gpu.product`"
    else:
        then = "`kubectl describe nodes` says what they have left; --cpu and --memory ask for less"
    return DeployError("No node takes the pod.", why=message, then=then)
