"""The cluster: what its API is asked, and what its refusals mean.

Reached as kubectl reaches it (kubeconfig, its contexts and login programs, or a pod's own account), through the
cluster's official Python client: its answers have a status and a reason, where kubectl has sentences. Every object is
written by server-side apply, under a field manager of our own, so that what others set in it stays theirs.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from llm_magics.errors import DeployError

if TYPE_CHECKING:
    from llm_magics.deployment.documents import Document

MANAGER = "llm-magics"
_TIMEOUT = 30.0  # s for one answer; 5 s of it to be connected
# Kind -> its place in the API. What is not here is not written by us.
_PLACES = {
    "PersistentVolumeClaim": "api/v1/namespaces/{}/persistentvolumeclaims",
    "ConfigMap": "api/v1/namespaces/{}/configmaps",
    "Service": "api/v1/namespaces/{}/services",
    "Secret": "api/v1/namespaces/{}/secrets",
    "Pod": "api/v1/namespaces/{}/pods",
    "Deployment": "apis/apps/v1/namespaces/{}/deployments",
    "HorizontalPodAutoscaler": "apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers",
    "NetworkPolicy": "apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "ServiceMonitor": "apis/monitoring.coreos.com/v1/namespaces/{}/servicemonitors",
    "ScaledObject": "apis/keda.sh/v1alpha1/namespaces/{}/scaledobjects",
    "InferenceService": "apis/serving.kserve.io/v1beta1/namespaces/{}/inferenceservices",
}
BRINGS = {  # kinds that a cluster has only when this was installed
    "ServiceMonitor": "the Prometheus operator",
    "ScaledObject": "KEDA",
    "InferenceService": "KServe",
}


@dataclass(frozen=True)
class Said:
    """An answer: HTTP status, and the JSON document or the text."""

    status: int
    body: Any

    @property
    def ok(self) -> bool:
        """Whether it did what was asked."""
        return 200 <= self.status < 300

    @property
    def reason(self) -> str:
        """The cluster's own words."""
        if isinstance(self.body, dict):
            return str(self.body.get("message") or self.body.get("reason") or f"HTTP {self.status}")
        return str(self.body).strip()[:500] or f"HTTP {self.status}"


class Cluster:
    """One cluster, as the kubeconfig says it is reached.

    Parameters
    ----------
    context
        One of the kubeconfig's contexts; the current one when left out.

    Raises
    ------
    DeployError
        When the client is not installed, or nothing says where a cluster is.
    """

    def __init__(self, context: str | None = None) -> None:
        self.context = context
        try:
            from kubernetes import client, config
            from kubernetes.client.rest import RESTClientObject
        except ImportError:
            raise DeployError(
                "The cluster's client is not installed.", why="there is no Python package kubernetes here",
                then="pip install 'llm-magics[k8s]'; or apply the file with kubectl",
            ) from None  # fmt: skip
        self._configuration = client.Configuration()
        try:
            config.load_kube_config(os.environ.get("KUBECONFIG"), context, self._configuration)
        except config.ConfigException as error:
            if context is not None or not _in_pod(config, self._configuration):
                raise DeployError(
                    "Nothing says which cluster is meant.", why=str(error),
                    then="set KUBECONFIG, or see `kubectl config get-contexts` and add --context NAME",
                ) from None  # fmt: skip
        except Exception as error:  # noqa: BLE001 - whatever the client trips over in a damaged file
            raise DeployError(
                "The kubeconfig cannot be read.", why=" ".join(str(error).split())[:300] or type(error).__name__,
                then="`kubectl config view` says where; set KUBECONFIG to another",
            ) from None  # fmt: skip
        self._pool = RESTClientObject(self._configuration).pool_manager

    @property
    def address(self) -> str:
        """The API server's URL."""
        return str(self._configuration.host)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        kind: str = "application/json",
    ) -> Said:
        """One question.

        Raises
        ------
        DeployError
            When the cluster does not answer at all.
        """
        import urllib3

        headers = {"Accept": "application/json", "Content-Type": kind}
        if token := self._configuration.auth_settings().get("BearerToken"):
            headers["Authorization"] = str(token["value"])
        url = f"{self.address}/{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            answer = self._pool.request(
                method, url, body=None if body is None else json.dumps(body), headers=headers, retries=False,
                timeout=urllib3.Timeout(connect=5.0, read=_TIMEOUT),
            )  # fmt: skip
        except (urllib3.exceptions.HTTPError, ssl.SSLError, OSError) as error:
            raise DeployError(
                f"The cluster at {self.address} does not answer.", why=f"{type(error).__name__}: {error}",
                then="check the VPN and `kubectl cluster-info`, or choose another with --context NAME",
            ) from None  # fmt: skip
        text = answer.data.decode("utf-8", "replace")
        try:
            return Said(answer.status, json.loads(text))
        except ValueError:
            return Said(answer.status, text)

    def get(self, kind: str, namespace: str, name: str = "", **query: str) -> Said:
        """An object, or the list of a kind."""
        return self.ask("GET", _PLACES[kind].format(namespace) + (f"/{name}" if name else ""), query=query)

    def apply(self, document: Document, namespace: str, *, dry: bool = False) -> Said:
        """Server-side apply of one document; `dry`: everything but the writing, quota and admission included."""
        query = {"fieldManager": MANAGER} | ({"dryRun": "All"} if dry else {})
        path = f"{_PLACES[document.kind].format(namespace)}/{document.name}"
        return self.ask("PATCH", path, document.body, query=query, kind="application/apply-patch+yaml")

    def log(
        self, namespace: str, pod: str, *, previous: bool = False, container: str = "", lines: int = 200
    ) -> list[str]:
        """The last lines of a pod's log; empty where there is none (yet)."""
        query = {"tailLines": str(lines)} | ({"previous": "true"} if previous else {})
        query |= {"container": container} if container else {}
        said = self.ask("GET", f"{_PLACES['Pod'].format(namespace)}/{pod}/log", query=query)
        return str(said.body).splitlines() if said.ok and isinstance(said.body, str) else []


def refusal(said: Said, doing: str, namespace: str) -> DeployError:
    """What a refusal means: the reason in the cluster's words, and what to do."""
    group = {
        401: ("does not know you", "log in again (the kubeconfig's login program), or --context NAME"),
        403: ("does not allow it", f"ask for the right (`kubectl auth can-i --list --namespace {namespace}`)"),
        404: ("does not know it", f"`kubectl create namespace {namespace}` where the namespace is missing"),
        409: ("has it from somebody else", "let them change it, or `kubectl apply --server-side --force-conflicts`"),
        413: ("finds it too large", "leave out files: what a ConfigMap holds is at most 1 MiB"),
        422: ("finds it invalid", "correct the option that the field comes from"),
    }  # fmt: skip
    if said.status == 403 and "exceeded quota" in said.reason:
        what, then = (
            "has no room for it",
            "ask for more quota, or fewer with --replicas, --gpus-per-pod, --cpu, --memory",
        )
    else:
        what, then = group.get(said.status, ("fails", "try again; `kubectl get --raw /readyz?verbose` says how it is"))
    return DeployError(f"{doing}: the cluster {what} (HTTP {said.status}).", why=_causes(said), then=then)


def _causes(said: Said) -> str:
    causes = said.body.get("details", {}).get("causes", []) if isinstance(said.body, dict) else []
    if said.status == 422 and causes:
        return "; ".join(f"{each.get('field', '')}: {each.get('message', '')}" for each in causes[:4])
    return said.reason


def _in_pod(config: Any, configuration: Any) -> bool:
    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException:
        return False
    return True
