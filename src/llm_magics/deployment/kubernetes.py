"""The manifests: Deployment, Service, claim, autoscaler, ServiceMonitor, NetworkPolicy, each with why it is so."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from llm_magics.deployment import pod_spec
from llm_magics.deployment.documents import Document, Written
from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.deployment.pod import Pod
    from llm_magics.spec.deployment import Deployment

SLACK = 300  # s that a rollout may take beside the start itself: scheduling, pulling an image of 10 GB


def manifests(pod: Pod, deployment: Deployment) -> Written:
    """Everything a cluster needs to run it.

    Raises
    ------
    SpecError
        When it is to grow with the queue, and the engine does not say how long its queue is.
    """
    found = [
        claim(pod, deployment), files(pod, deployment), _deployment(pod, deployment), _service(pod, deployment),
        _scaler(pod, deployment), _monitor(pod, deployment), _policy(pod, deployment),
    ]  # fmt: skip
    file, space = f"{pod.name}.yaml", f"--namespace {deployment.namespace}"
    return Written(
        "kubernetes", pod.spec.name, deployment.namespace, file,
        [each for each in found if each is not None],
        first=secrets_to_make(pod, deployment),
        then=[
            f"kubectl apply --server-side {space} -f {file}",
            f"kubectl rollout status {space} deployment/{pod.name} --timeout={_deadline(pod)}s",
            f"kubectl delete {space} -f {file}    # undoes it, the downloaded models too",
        ],
        notes=notes(pod, deployment), secrets=[each.secret for each in pod.secrets.values() if not each.optional],
    )  # fmt: skip


def notes(pod: Pod, deployment: Deployment) -> list[str]:
    """What a person should know before it is applied."""
    found = []
    if pod.gpus == 0:
        found.append("no GPU is asked for, as it ran here; --gpus-per-pod 1 asks for one")
    if pod.gpus > 8:
        found.append(f"one pod asks for {pod.gpus} GPUs, which only a node with so many has; over several nodes: Ray")
    if not pod.engine.key_env:
        found.append(f"{pod.engine.title} has no API key: whom the NetworkPolicy lets in may ask it")
    if not deployment.memory:
        found.append(
            "no memory is promised to the pods; --memory and --cpu do, and a namespace with a quota wants them"
        )
    if not pod.metrics_path and deployment.service_monitor:
        found.append(f"{pod.engine.title} has no metrics: no ServiceMonitor")
    if pod.image.endswith(":latest") or ":" not in pod.image.rsplit("/", 1)[-1]:
        found.append(f"{pod.image} moves: pin a version with --image for a rollout that can be repeated")
    return found


def secrets_to_make(pod: Pod, deployment: Deployment) -> list[str]:
    """Commands that make the Secrets which the pods read; the values come from the shell, no file holds them."""
    space, found = f"--namespace {deployment.namespace}", []
    sources = {"HF_TOKEN": 'printf %s "$HF_TOKEN"', pod.engine.key_env: "openssl rand -hex 32"}
    by_name: dict[str, list[tuple[str, str]]] = {}
    for variable, where in pod.secrets.items():
        by_name.setdefault(where.secret, []).append((variable, where.key))
    for name, keys in by_name.items():
        make = f"kubectl create secret generic {name} {space}"
        if len(keys) == 1 and keys[0][0] in sources:
            only = "    # only for gated models" if name == "huggingface" else ""
            found.append(f"{sources[keys[0][0]]} | {make} --from-file={keys[0][1]}=/dev/stdin{only}")
        else:
            found.append(make + "".join(f' --from-file={key}=<(printf %s "${variable}")' for variable, key in keys))
    return found


def metadata(pod: Pod, deployment: Deployment, name: str = "") -> dict[str, Any]:
    """Name, namespace and labels."""
    return {"name": name or pod.name, "namespace": deployment.namespace, "labels": pod_spec.labels(pod)}


def claim(pod: Pod, deployment: Deployment) -> Document | None:
    """The claim that keeps what is downloaded."""
    if not pod_spec.needs_claim(pod):
        return None
    many = max(deployment.replicas, deployment.max_replicas or 1) > 1
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteMany" if many else "ReadWriteOnce"],
        "resources": {"requests": {"storage": deployment.cache}},
    }
    if deployment.storage_class:
        spec["storageClassName"] = deployment.storage_class
    says = "Downloaded models: a pod that starts again finds them."
    if many:
        says += " Several pods write to it: its storage class has to have ReadWriteMany."
    body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": metadata(pod, deployment, f"{pod.name}-models"), "spec": spec}  # fmt: skip
    return Document(body, says)


def files(pod: Pod, deployment: Deployment) -> Document | None:
    """Small files that the engine's command reads."""
    if not pod.files:
        return None
    body = {"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": metadata(pod, deployment, f"{pod.name}-files"), "data": dict(pod.files)}  # fmt: skip
    return Document(body, "What the engine's command reads: its configuration, or the program that starts it.")


def _deadline(pod: Pod) -> int:
    return math.ceil(pod.startup) + SLACK


def _deployment(pod: Pod, deployment: Deployment) -> Document:
    spec: dict[str, Any] = {
        "selector": {"matchLabels": pod_spec.selector(pod)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
        "progressDeadlineSeconds": _deadline(pod),
        "template": {
            "metadata": {"labels": pod_spec.labels(pod), "annotations": pod_spec.marks(pod)},
            "spec": pod_spec.spec(pod, deployment),
        },
    }
    if deployment.max_replicas is None:  # else the number is the autoscaler's, and applying again would reset it
        spec = {"replicas": deployment.replicas, **spec}
    meta = {**metadata(pod, deployment), "annotations": pod_spec.marks(pod)}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}
    return Document(
        body,
        f"The server. It has {pod.startup:g} s to be ready (timeout: of the spec). An update takes a pod away before "
        "it starts the next: the GPUs are not there twice.",
    )


def _service(pod: Pod, deployment: Deployment) -> Document:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    if pod.metrics_port != pod.port:
        ports.append({"name": "metrics", "port": pod.metrics_port, "targetPort": "metrics"})
    body = {"apiVersion": "v1", "kind": "Service", "metadata": metadata(pod, deployment),
            "spec": {"selector": pod_spec.selector(pod), "ports": ports}}  # fmt: skip
    return Document(body, f"Inside the cluster: http://{pod.name}.{deployment.namespace}/v1")


def queue_metric(pod: Pod) -> str:
    """The engine's own name for how many requests wait.

    Raises
    ------
    SpecError
        When it has none.
    """
    names = pod.engine.metrics.names.get("waiting", ()) if pod.engine.metrics else ()
    if not names:
        raise SpecError(
            f"{pod.engine.title} does not say how many requests wait: nothing to grow by.",
            why="it publishes no such metric",
            then="replicas: N for a fixed number, or an engine that does (`%llm engines --matrix`)",
        )
    return names[0]


def keda_query(pod: Pod, deployment: Deployment) -> str:
    """How many requests wait in all pods, as Prometheus is asked."""
    return f'sum({queue_metric(pod)}{{namespace="{deployment.namespace}",pod=~"{pod.name}-.*"}})'


def _scaler(pod: Pod, deployment: Deployment) -> Document | None:
    if deployment.max_replicas is None:
        return None
    metric = queue_metric(pod)
    least, most = deployment.replicas, max(deployment.replicas, deployment.max_replicas)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": pod.name}
    if deployment.autoscale == "keda":
        trigger = {"type": "prometheus", "metadata": {
            "serverAddress": deployment.prometheus, "query": keda_query(pod, deployment),
            "threshold": str(deployment.queue)}}  # fmt: skip
        body: dict[str, Any] = {
            "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": metadata(pod, deployment),
            "spec": {"scaleTargetRef": target, "minReplicaCount": least, "maxReplicaCount": most,
                     "pollingInterval": 15, "cooldownPeriod": 300, "triggers": [trigger]},
        }  # fmt: skip
        return Document(body, f"Another pod for every {deployment.queue} requests that wait (KEDA asks Prometheus).")
    served = metric.replace(":", "_")
    body = {
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata(pod, deployment),
        "spec": {
            "scaleTargetRef": target, "minReplicas": least, "maxReplicas": most,
            "metrics": [{"type": "Pods", "pods": {
                "metric": {"name": served},
                "target": {"type": "AverageValue", "averageValue": str(deployment.queue)}}}],
            # A new pod answers after minutes: no hurry to take one away again.
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
        },
    }  # fmt: skip
    return Document(
        body,
        f"Another pod for every {deployment.queue} requests that wait. The metric comes from prometheus-adapter, which "
        f"needs a rule: seriesQuery '{metric}{{pod!=\"\"}}', name as {served}, resources by template <<.Resource>>, "
        "metricsQuery sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>).",
    )


def _monitor(pod: Pod, deployment: Deployment) -> Document | None:
    if not pod.metrics_path or not deployment.service_monitor:
        return None
    endpoint: dict[str, Any] = {
        "port": "metrics" if pod.metrics_port != pod.port else "http", "path": pod.metrics_path, "interval": "15s",
    }  # fmt: skip
    if key := pod.secrets.get(pod.engine.key_env or ""):
        endpoint["authorization"] = {"credentials": {"name": key.secret, "key": key.key}}
    body = {
        "apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": metadata(pod, deployment),
        "spec": {"selector": {"matchLabels": pod_spec.selector(pod)}, "endpoints": [endpoint]},
    }  # fmt: skip
    return Document(body, "For the Prometheus operator; some installations want its `release` label here too.")


def _policy(pod: Pod, deployment: Deployment) -> Document | None:
    if not deployment.network_policy:
        return None
    scraped = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": deployment.scraped_from}}}
    rules: list[dict[str, Any]] = [{"from": [{"podSelector": {}}], "ports": [{"protocol": "TCP", "port": "http"}]}]
    if pod.metrics_path:
        port = "metrics" if pod.metrics_port != pod.port else "http"
        rules.append({"from": [scraped], "ports": [{"protocol": "TCP", "port": port}]})
    egress: list[dict[str, Any]] = [{"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}]
    if pod.cache:
        egress.append({"ports": [{"protocol": "TCP", "port": 443}]})
    body = {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata(pod, deployment),
        "spec": {"podSelector": {"matchLabels": pod_spec.selector(pod)}, "policyTypes": ["Ingress", "Egress"],
                 "ingress": rules, "egress": egress},
    }  # fmt: skip
    return Document(
        body,
        f"In: pods of this namespace, and Prometheus from {deployment.scraped_from}. Out: DNS"
        + (", and HTTPS for the model's download." if pod.cache else "."),
    )
