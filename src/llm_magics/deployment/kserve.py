"""KServe's InferenceService.

A container of the engine's own image, so that what was measured is what serves: the same version, the same flags. Only
Transformers, which has no image, goes by KServe's own Hugging Face server, and Triton speaks KServe's protocol anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llm_magics.deployment import kubernetes, pod_spec
from llm_magics.deployment.documents import Document, Written
from llm_magics.deployment.pod import SecretKey, dns, gpus_of
from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.deployment.pod import Pod
    from llm_magics.engines.base import Engine
    from llm_magics.spec import ServerSpec
    from llm_magics.spec.deployment import Deployment

# Options of KServe's Hugging Face server that mean what ours mean (python/huggingfaceserver/__main__.py of KServe).
_HUGGING_FACE = {
    "revision": "--model_revision",
    "dtype": "--dtype",
    "max_model_len": "--max_model_len",
    "trust_remote_code": "--trust_remote_code",
}


def inference_service(pod: Pod, deployment: Deployment) -> Written:
    """An InferenceService whose predictor is the engine's own container."""
    predictor = _scale(deployment) | pod_spec.spec(pod, deployment)
    predictor["containers"] = [pod_spec.container(pod, deployment, "kserve-container")]
    body = _service(deployment, pod.name, pod_spec.labels(pod), pod_spec.marks(pod), predictor)
    documents = [kubernetes.claim(pod, deployment), kubernetes.files(pod, deployment), body]
    return _written(
        pod.spec.name, pod.name, deployment, [each for each in documents if each],
        kubernetes.secrets_to_make(pod, deployment), kubernetes.notes(pod, deployment),
        [where.secret for where in pod.secrets.values() if not where.optional],
    )  # fmt: skip


def hugging_face(engine: Engine, spec: ServerSpec, deployment: Deployment) -> Written:
    """An InferenceService of KServe's Hugging Face server with the backend of Transformers.

    Raises
    ------
    SpecError
        For an option that this server has no word for, or a model on this machine's disk.
    """
    engine.said(spec)
    name, gpus = dns(spec.name), gpus_of(engine, spec, deployment)
    options = {key: value for key, value in spec.options.items() if key != "model"}
    if spec.args or (lacking := sorted(set(options) - set(_HUGGING_FACE))):
        word = "args" if spec.args else lacking[0]
        raise SpecError(
            f"KServe's Hugging Face server has no option for {word}.",
            why=f"it is not `transformers serve`; it takes {', '.join(_HUGGING_FACE)}",
            then=f"leave {word} out; or --image with your own image of Transformers, and --to kserve runs that",
        )
    from llm_magics.engines import models

    if models.resolve(engine, spec).startswith("/"):
        raise SpecError(
            f"The pods cannot see the model {spec.model}.", why="it lies on this machine's disk", then="model: a hub id"
        )
    args = ["--backend=huggingface", f"--model_name={name}", f"--model_id={spec.model}"]
    for key, value in options.items():
        args += [_HUGGING_FACE[key]] if value is True else [] if value is False else [f"{_HUGGING_FACE[key]}={value}"]
    limits = {deployment.gpu_resource: str(gpus)} if gpus else {}
    promised = {key: value for key, value in (("cpu", deployment.cpu), ("memory", deployment.memory)) if value}
    token = SecretKey("huggingface", "token", optional=True)
    model: dict[str, Any] = {
        "modelFormat": {"name": "huggingface"},
        "args": args,
        "env": [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {
            "name": token.secret, "key": token.key, "optional": True}}}],
    }  # fmt: skip
    # The runtime's own promise holds where nothing is said (config/runtimes/kserve-huggingfaceserver.yaml).
    if resources := {key: value for key, value in (("requests", promised), ("limits", limits)) if value}:
        model["resources"] = resources
    marks = {"app.kubernetes.io/instance": name, "app.kubernetes.io/managed-by": pod_spec.OWNER}
    known = {f"{pod_spec.OWNER}/engine": engine.key, f"{pod_spec.OWNER}/model": spec.model,
             f"{pod_spec.OWNER}/served-model": name}  # fmt: skip
    body = _service(deployment, name, marks, known, _scale(deployment) | {"model": model})
    make = f"kubectl create secret generic huggingface --namespace {deployment.namespace} --from-file=token=/dev/stdin"
    first = [f'printf %s "$HF_TOKEN" | {make}    # only for gated models']
    note = "KServe's Hugging Face server is not `transformers serve`: measure it again before you trust its figures"
    return _written(spec.name, name, deployment, [body], first, [note])


def _scale(deployment: Deployment) -> dict[str, Any]:
    most = deployment.max_replicas or deployment.replicas
    return {"minReplicas": deployment.replicas, "maxReplicas": max(most, deployment.replicas)}


def _service(
    deployment: Deployment, name: str, labels: dict[str, str], known: dict[str, str], predictor: dict[str, Any]
) -> Document:
    body = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": name, "namespace": deployment.namespace, "labels": labels,
            # Plain Deployments: a model that loads for minutes is not started by a request.
            "annotations": {"serving.kserve.io/deploymentMode": "Standard", **known},
        },
        "spec": {"predictor": predictor},
    }  # fmt: skip
    return Document(body, "KServe makes a Deployment, a Service and its address from it.")


def _written(
    name: str,
    kube: str,
    deployment: Deployment,
    documents: list[Document],
    first: list[str],
    notes: list[str],
    secrets: Sequence[str] = (),
) -> Written:
    file, space = f"{kube}-kserve.yaml", f"--namespace {deployment.namespace}"
    return Written(
        "kserve", name, deployment.namespace, file, documents, first=first,
        then=[
            f"kubectl apply --server-side {space} -f {file}",
            f"kubectl wait {space} --for=condition=Ready inferenceservice/{kube} --timeout=20m",
            f"kubectl delete {space} -f {file}    # undoes it",
        ],
        notes=notes, secrets=secrets,
    )  # fmt: skip
