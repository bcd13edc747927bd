"""Following a rollout until it serves, or until something will not pass by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from llm_magics.deployment.kubernetes import SLACK
from llm_magics.deployment.trouble import states
from llm_magics.errors import DeployError

if TYPE_CHECKING:
    from llm_magics.deployment.cluster import Cluster
    from llm_magics.deployment.documents import Document
    from llm_magics.spec import ServerSpec


@dataclass(frozen=True)
class Rolled:
    """What was put into a cluster: `kind/name` of what was created and what was changed, what was left out and why.

    `context` is the kubeconfig's, where another than the current one was named.
    """

    name: str
    namespace: str
    created: list[str]
    changed: list[str]
    left_out: list[str]
    seconds: float = 0.0
    context: str | None = None

    def done(self, seconds: float) -> Rolled:
        """The same, ready after so many seconds."""
        return replace(self, seconds=seconds)

    @property
    def there(self) -> str:
        """What is in the cluster now."""
        made = [f"created: {', '.join(self.created)}"] if self.created else []
        made += [f"changed: {', '.join(self.changed)}"] if self.changed else []
        return f"in {self.namespace} now: {'; '.join(made)}"

    @property
    def undo(self) -> str:
        """What takes it back."""
        space, words = f"--namespace {self.namespace}", []
        if self.created:
            words.append(f"kubectl delete {space} {' '.join(self.created)}")
        if back := [each for each in self.changed if each.startswith("deployment/")]:
            words.append(f"kubectl rollout undo {space} {back[0]}")
        return "; ".join(f"`{each}`" for each in words) or "nothing is to be undone"

    @property
    def target(self) -> str:
        """What a bench takes, from this machine or another one with the same kubeconfig."""
        first = next((each.split("/")[1] for each in [*self.created, *self.changed]), "")
        return f"k8s://{self.namespace}/{_base(first)}" + (f"?context={quote(self.context)}" if self.context else "")

    def __str__(self) -> str:
        lines = [f"{self.name} serves in {self.namespace} after {self.seconds:.0f} s", self.there]
        lines += [f"left out: {each}" for each in self.left_out]
        return "\n".join([*lines, f"undo: {self.undo}", f"measure it: %bench {self.target}"])


def place_of(document: Document) -> str:
    """An object as kubectl names it."""
    return f"{document.kind.lower()}/{document.name}"


def followed(
    cluster: Cluster,
    documents: Sequence[Document],
    spec: ServerSpec,
    namespace: str,
    on_stage: Callable[[str], None],
    *,
    pause: float,
    patience: float,
) -> None:
    """Return when everything that serves is ready.

    Raises
    ------
    DeployError
        When it will not be: the reason in the cluster's or the engine's words.
    """
    from llm_magics import engines

    engine = engines.get(spec.engine)
    root = next((each for each in documents if each.kind in ("Deployment", "InferenceService")), None)
    if root is None:
        return
    deadline, stage, since = time.monotonic() + spec.timeout + SLACK, "", time.monotonic()
    while True:
        said = cluster.get(root.kind, namespace, root.name)
        if not said.ok:
            from llm_magics.deployment.cluster import refusal

            raise refusal(said, f"{root.kind} {root.name}", namespace)
        if _ready(root.kind, said.body):
            return
        _refused(said.body)
        found = states(cluster, root, namespace, engine)
        words, wrong = (found[0].words, found[0].wrong) if found else ("waiting for the first pod", None)
        if words != stage:
            stage, since = words, time.monotonic()
            on_stage(stage)
        if wrong is not None and time.monotonic() - since >= (0 if found[0].at_once else patience):
            raise wrong
        if time.monotonic() > deadline:
            raise DeployError(
                f"{root.name} was not ready after {spec.timeout + SLACK:g} s.", why=f"last seen: {stage}",
                then=f"`kubectl logs --namespace {namespace} deployment/{root.name}`; more time with --timeout",
            )  # fmt: skip
        time.sleep(pause)


def _ready(kind: str, body: Any) -> bool:
    status, spec = body.get("status") or {}, body.get("spec") or {}
    if kind == "InferenceService":
        found = status.get("conditions", [])
        return any(each.get("type") == "Ready" and each.get("status") == "True" for each in found)
    if status.get("observedGeneration", 0) < body.get("metadata", {}).get("generation", 0):
        return False  # what it says is about the spec before this one
    wanted, updated = spec.get("replicas", 1), status.get("updatedReplicas", 0)
    gone = status.get("replicas", 0) <= updated  # none of the old ones is left
    return bool(updated >= wanted and status.get("availableReplicas", 0) >= wanted and gone)


def _refused(body: Any) -> None:
    """Pods that the cluster does not even make: quota, admission."""
    for each in (body.get("status") or {}).get("conditions", []):
        if each.get("type") == "ReplicaFailure" and each.get("status") == "True":
            message = str(each.get("message", ""))
            quota = "exceeded quota" in message or "must specify" in message
            raise DeployError(
                "The cluster makes no pod" + (": the namespace's quota does not allow it." if quota else "."),
                why=message,
                then="promise less or more with --cpu, --memory, --gpus-per-pod, --replicas, or ask for more quota"
                if quota else "ask whoever runs the cluster's admission rules",
            )  # fmt: skip


def _base(name: str) -> str:
    return name.removesuffix("-models").removesuffix("-files")
