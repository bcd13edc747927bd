"""Into the cluster: look first, write then, follow until it serves; whatever happens, say what is there now.

Before anything is written, every document goes through the cluster's own dry run, so that rights, quotas, missing kinds
and invalid fields are found while there is nothing to undo.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from llm_magics.deployment.cluster import BRINGS, Cluster, refusal
from llm_magics.deployment.rollout import Rolled, followed, place_of
from llm_magics.errors import DeployError

if TYPE_CHECKING:
    from llm_magics.deployment.documents import Document, Written
    from llm_magics.spec import ServerSpec
    from llm_magics.spec.deployment import Deployment

_PRODUCT = "nvidia.com/gpu.product"


def applied(
    made: Written,
    spec: ServerSpec,
    deployment: Deployment,
    *,
    context: str | None = None,
    on_stage: Callable[[str], None] = lambda _: None,
    pause: float = 2.0,
    patience: float = 120.0,
) -> Rolled:
    """Apply what was written and follow it until it serves.

    Parameters
    ----------
    on_stage
        Called with each new stage.
    pause, patience
        s between two looks; s that a state which may pass by itself (no node has room) may last.

    Raises
    ------
    DeployError
        When the cluster cannot be reached or refuses; or the rollout fails: then what was applied is still there, and
        the error says how to undo it.
    """
    began, cluster = time.monotonic(), Cluster(context)
    documents, left_out = _looked(cluster, made, deployment, on_stage)
    created: list[str] = []
    changed: list[str] = []
    for document in documents:
        before = cluster.get(document.kind, made.namespace, document.name)
        said = cluster.apply(document, made.namespace)
        if not said.ok:
            error = refusal(said, f"{document.kind} {document.name}", made.namespace)
            raise _half(error, made.namespace, created, changed)
        (changed if before.ok else created).append(place_of(document))
        on_stage(f"{document.kind} {document.name} is {'changed' if before.ok else 'created'}")
    rolled = Rolled(made.name, made.namespace, created, changed, left_out, context=context)
    try:
        followed(cluster, documents, spec, made.namespace, on_stage, pause=pause, patience=patience)
    except DeployError as error:
        raise _half(error, made.namespace, created, changed) from None
    except KeyboardInterrupt:
        on_stage(f"no longer followed; it goes on. {rolled.undo}")
        raise
    return rolled.done(time.monotonic() - began)


def _looked(
    cluster: Cluster, made: Written, deployment: Deployment, on_stage: Callable[[str], None]
) -> tuple[list[Document], list[str]]:
    """Everything that can be found wrong before anything is written; what is left out, and why."""
    on_stage(f"asking the cluster at {cluster.address}")
    space = cluster.ask("GET", f"api/v1/namespaces/{made.namespace}")
    if space.status == 404:
        raise DeployError(
            f"There is no namespace {made.namespace}.", why=space.reason,
            then=f"`kubectl create namespace {made.namespace}`, or --namespace with one that is there",
        )  # fmt: skip
    if space.status == 401:
        raise refusal(space, f"Namespace {made.namespace}", made.namespace)
    _gpus_there(cluster, made, deployment)
    _secrets_there(cluster, made, on_stage)
    documents, left_out = [], []
    for document in made.documents:
        said = cluster.apply(document, made.namespace, dry=True)
        if said.status == 404 and document.kind in BRINGS:
            missing = f"{document.kind}: this cluster has none, {BRINGS[document.kind]} is not installed"
            if document.kind != "ServiceMonitor":
                raise DeployError(
                    f"The cluster does not know {document.kind}.", why=said.reason,
                    then=f"install {BRINGS[document.kind]}, or leave out the option that asks for it",
                )  # fmt: skip
            left_out.append(missing)
            on_stage(f"left out: {missing}")
            continue
        if not said.ok:
            raise refusal(said, f"{document.kind} {document.name}", made.namespace)
        documents.append(document)
    return documents, left_out


def _gpus_there(cluster: Cluster, made: Written, deployment: Deployment) -> None:
    """Whether a node has the GPUs; where nodes may not be looked at, the scheduler will say."""
    pods = [each.body["spec"]["template"]["spec"] for each in made.documents if each.kind == "Deployment"]
    pods += [each.body["spec"]["predictor"] for each in made.documents if each.kind == "InferenceService"]
    said = cluster.ask("GET", "api/v1/nodes")
    if not said.ok or not pods:
        return
    nodes = [node for node in said.body.get("items", []) if not node.get("spec", {}).get("unschedulable")]
    resource = deployment.gpu_resource
    here = {
        node["metadata"].get("labels", {}).get(_PRODUCT, "a GPU without a label"): 1
        for node in nodes
        if int(node.get("status", {}).get("allocatable", {}).get(resource, 0))
    }
    if deployment.gpu_type and deployment.gpu_type not in here:
        raise DeployError(
            f"The cluster has no GPU of the type {deployment.gpu_type}.",
            why=f"its nodes have: {', '.join(here) or 'no GPU'}", then="--gpu-type with one of them, or leave it out",
        )  # fmt: skip
    limits = (pods[0].get("containers") or [pods[0].get("model", {})])[0].get("resources", {}).get("limits", {})
    wanted = int(limits.get(resource, 0))
    most = max((int(node.get("status", {}).get("allocatable", {}).get(resource, 0)) for node in nodes), default=0)
    if wanted > most:
        raise DeployError(
            f"No node of the cluster has {wanted} GPU{'s' if wanted > 1 else ''} ({resource}).",
            why=f"the largest has {most}",
            then="a smaller tensor_parallel_size or --gpus-per-pod, or --gpu-resource for MIG slices; or add a node",
        )


def _secrets_there(cluster: Cluster, made: Written, on_stage: Callable[[str], None]) -> None:
    """Whether the Secrets that the pods cannot start without are there."""
    for name in dict.fromkeys(made.secrets):
        command = next((each for each in made.first if f"generic {name} " in each), "")
        said = cluster.get("Secret", made.namespace, name)
        if said.status == 404:
            raise DeployError(f"There is no Secret {name} in {made.namespace}.", why=said.reason, then=command)
        if said.status == 403:
            on_stage(f"not looked whether the Secret {name} is there: reading Secrets is not allowed")


def _half(error: DeployError, namespace: str, created: Sequence[str], changed: Sequence[str]) -> DeployError:
    """The error, with what is in the cluster now and how to undo it."""
    there = Rolled("", namespace, list(created), list(changed), [])
    if not created and not changed:
        return error
    return DeployError(error.what, why=f"{error.why}\n{there.there}", then=f"{error.then}; to undo: {there.undo}")
