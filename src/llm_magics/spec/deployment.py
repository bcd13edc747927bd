"""What may be said about a deployment beside the server's own spec: where, how many, which GPUs, how it grows.

A server's spec says what runs; this says how a cluster runs it. The two share no option, so that both fit on one line.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from llm_magics.spec.quantities import Count, Flag, Text, Variable


def _like(pattern: str, says: str) -> AfterValidator:
    """Text of a form; what the form is, is said in words."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"takes {says}")
        return value

    return AfterValidator(check)


Label = Annotated[
    Text,
    _like(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "a name of Kubernetes': a-z, 0-9 and -, at most 63, e.g. llm-prod"),
]
Quantity = Annotated[
    Variable, _like(r"\d+(\.\d+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?", "an amount as Kubernetes writes it: 8, 500m, 32Gi")
]
Value = Annotated[
    Text,
    _like(r"[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?", "a label's value: letters, digits, - _ . and no blank, at most 63"),
]
Claim = Annotated[Text, _like(r"[a-z0-9][a-z0-9.-]*(:[\w./@-]+)?", "CLAIM or CLAIM:PATH, e.g. models:qwen3")]


class Deployment(BaseModel):
    """How a server is deployed; everything has a default."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, protected_namespaces=(), use_attribute_docstrings=True
    )

    to: Literal["kubernetes", "helm-values", "kserve", "compose"] = "kubernetes"
    """What is written: `kubernetes` (manifests), `helm-values` (vLLM's production-stack chart), `kserve`, `compose`."""
    namespace: Label = "default"
    """The cluster's namespace."""
    replicas: Count = 1
    """Pods that serve."""
    max_replicas: Count | None = None
    """Grow up to so many pods while requests wait; no growth when left out."""
    autoscale: Literal["hpa", "keda"] = "hpa"
    """What makes it grow: `hpa` (a custom metric) or `keda` (a query to Prometheus)."""
    queue: Count = 5
    """Requests that wait per pod at which another pod starts."""
    prometheus: Text = "http://prometheus-operated.monitoring.svc:9090"
    """Prometheus as the cluster sees it, for `autoscale: keda`."""
    gpus_per_pod: int | None = Field(default=None, ge=0, le=16)
    """GPUs of a pod, 0 for none; when left out what the spec splits the model over, none where it ran without."""
    gpu_type: Value | None = None
    """The nodes' label `nvidia.com/gpu.product` that is wanted, e.g. `NVIDIA-H100-80GB-HBM3`."""
    gpu_resource: Text = "nvidia.com/gpu"
    """The resource a GPU is asked for by; a MIG slice is e.g. `nvidia.com/mig-4g.71gb`."""
    cpu: Quantity | None = None
    """CPUs a pod is promised: `8`, `500m`."""
    memory: Quantity | None = None
    """Memory a pod is promised: `32Gi`."""
    shm: Quantity | None = None
    """Size of /dev/shm; the image's own, else 2 GiB for each GPU, when left out."""
    cache: Quantity = "100Gi"
    """Size of the claim that keeps downloaded models."""
    storage_class: Text | None = None
    """Storage class of that claim; the cluster's default when left out."""
    model_pvc: Claim | None = None
    """A claim that is there and holds the model: `CLAIM` or `CLAIM:PATH`; for a hub id, the hub's cache."""
    service_monitor: Flag = True
    """Write a ServiceMonitor where the engine has metrics (Prometheus operator)."""
    scraped_from: Label = "monitoring"
    """Namespace from which Prometheus reads the metrics, for the NetworkPolicy."""
    network_policy: Flag = True
    """Let only this namespace in, and the pods out only to DNS and HTTPS."""
    pull_secret: Label | None = None
    """Secret with the credentials of the image's registry."""
