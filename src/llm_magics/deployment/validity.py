"""Whether Kubernetes takes what was written, by its own published schemas (`kubernetes-validate`), with no cluster.

Kinds that are not Kubernetes' own (ServiceMonitor, ScaledObject, InferenceService) are not among them; a cluster that
has them says what it thinks of them in the dry run before `--apply`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_magics.deployment.documents import Document, Written

RELEASES = ("1.35", "1.36", "1.37")  # those that Kubernetes maintains


def problems(made: Written, releases: tuple[str, ...] = RELEASES) -> list[str] | None:
    """What the releases' schemas refuse; None where nothing can say so: no package, or no manifests."""
    try:
        import kubernetes_validate
    except ImportError:
        return None
    documents = [each for each in made.documents if judged(each)]
    if not documents:
        return None
    found = []
    for release in releases:
        for document in documents:
            try:
                kubernetes_validate.validate(dict(document.body), release, strict=True)
            except kubernetes_validate.ValidationError as error:
                where = ".".join(str(part) for part in error.path)
                found.append(f"{release}: {document.kind} {document.name}: {where}: {error.message}")
    return found


def judged(document: Document) -> bool:
    """Whether a document's API is Kubernetes' own: `v1`, `apps/v1`, `networking.k8s.io/v1`."""
    version = str(document.body.get("apiVersion", ""))
    group = version.rpartition("/")[0]
    return version != "" and ("." not in group or group.endswith(".k8s.io"))
