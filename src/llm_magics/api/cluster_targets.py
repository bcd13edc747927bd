"""`k8s://NAMESPACE/NAME`: a deployment in a cluster as a target, by a port-forward that lives as long as the target.

What `%llm deploy` wrote says of itself which engine it is; its key is read from the Secret that its pods read.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from llm_magics.errors import TargetError

if TYPE_CHECKING:
    from llm_magics.api.targets import Target
    from llm_magics.deployment.cluster import Cluster
    from llm_magics.engines.base import Engine

_MARK = "llm-magics"


def in_cluster(url: str, model: str | None, api_key: str | None) -> Target:
    """A target from `k8s://NAMESPACE/NAME[?context=CONTEXT]`; its `close` ends the port-forward.

    Raises
    ------
    TargetError
        When there is no such deployment, none of its pods is ready, or no port-forward can be opened.
    DeployError
        When the cluster does not answer.
    """
    from llm_magics import engines
    from llm_magics.api.targets import Target
    from llm_magics.deployment.cluster import Cluster
    from llm_magics.deployment.forward import Forward
    from llm_magics.load.endpoint import Endpoint
    from llm_magics.load.probing import models
    from llm_magics.load.protocol import PROTOCOLS

    parts = urlsplit(url)
    namespace, name = parts.netloc, parts.path.strip("/")
    context = parse_qs(parts.query).get("context", [None])[0]
    if not namespace or not name or "/" in name:
        raise TargetError(f"{url} names no deployment.", then="write k8s://NAMESPACE/NAME")
    cluster = Cluster(context)
    found, service, port = _found(cluster, namespace, name)
    marks = found["metadata"].get("annotations") or {}
    key = marks.get(f"{_MARK}/engine", "")
    engine = engines.get(key) if key in engines.names() else None
    secret = api_key or (_key(cluster, namespace, found, engine) if engine else None)
    forward = Forward(namespace, f"service/{service}", port, context=context)
    try:
        base = f"http://127.0.0.1:{forward.port}"
        named = model or marks.get(f"{_MARK}/served-model") or _only(models(base, secret), url)
        known: dict[str, Any] = {"body": {"stream_options": {"include_usage": True}}}
        if engine is not None:
            known = {
                "body": engine.body(), "fixed_length": engine.fixed_length, "tokenize_path": engine.tokenize_path,
                "json_answer": engine.json_answer, "protocol": PROTOCOLS[engine.protocol],
            }  # fmt: skip
        endpoint = Endpoint(url=base, model=named, api_key=secret, **known)
        provenance = {
            "target": f"k8s://{namespace}/{name}", "engine": key or "unknown",
            "engine_version": marks.get(f"{_MARK}/version", ""), "model": marks.get(f"{_MARK}/model", named),
            "command": _command(found), "through": "port-forward",
        }  # fmt: skip
    except BaseException:
        forward.close()
        raise
    return Target(f"{namespace}/{name}", endpoint, provenance, ended=forward.ended, close=forward.close)


def _found(cluster: Cluster, namespace: str, name: str) -> tuple[Any, str, int]:
    """The object that serves, the Service before it and that one's port."""
    said, service = cluster.get("Deployment", namespace, name), name
    ready = bool(said.ok and (said.body.get("status") or {}).get("availableReplicas"))
    if said.status == 404:
        kserve = cluster.get("InferenceService", namespace, name)
        if kserve.ok:
            said, service = kserve, f"{name}-predictor"
            conditions = (kserve.body.get("status") or {}).get("conditions", [])
            ready = any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)
    if said.status == 404:
        listed = cluster.get("Deployment", namespace, labelSelector=f"app.kubernetes.io/managed-by={_MARK}")
        names = [each["metadata"]["name"] for each in listed.body.get("items", [])] if listed.ok else []
        raise TargetError(
            f"There is no deployment {name} in {namespace}.",
            why=f"deployed by llm-magics there: {', '.join(names) or 'nothing'}",
            then=f"`%llm deploy {name.replace('-', '_')} --namespace {namespace} --apply`",
        )
    if not said.ok:
        from llm_magics.deployment.cluster import refusal

        raise refusal(said, f"Deployment {name}", namespace)
    if not ready:
        raise TargetError(
            f"No pod of {name} is ready.", why="the Deployment has no available replica",
            then=f"`kubectl --namespace {namespace} get pods`, and `kubectl rollout status deployment/{name}`",
        )  # fmt: skip
    ports = (cluster.get("Service", namespace, service).body or {}).get("spec", {}).get("ports") or [{"port": 80}]
    return said.body, service, int(ports[0]["port"])


def _containers(found: Any) -> list[Any]:
    spec = found["spec"]
    pod = spec["predictor"] if "predictor" in spec else spec["template"]["spec"]
    return list(pod.get("containers") or [])


def _command(found: Any) -> str:
    import shlex

    first: dict[str, Any] = next(iter(_containers(found)), {})
    return shlex.join([*first.get("command", []), *first.get("args", [])])


def _key(cluster: Cluster, namespace: str, found: Any, engine: Engine) -> str | None:
    """The API key from the Secret that the pods read it from."""
    for variable in (each for container in _containers(found) for each in container.get("env", [])):
        where = (variable.get("valueFrom") or {}).get("secretKeyRef")
        if variable["name"] != engine.key_env or not where:
            continue
        said = cluster.get("Secret", namespace, where["name"])
        held = said.body.get("data", {}).get(where["key"]) if said.ok else None
        if held is None:
            raise TargetError(
                f"The key of {found['metadata']['name']} cannot be read.", why=said.reason if not said.ok else "",
                then="give it: --api-key KEY; or ask for the right to read that Secret",
            )  # fmt: skip
        return base64.b64decode(held).decode().strip()
    return None


def _only(served: list[str], url: str) -> str:
    if len(served) != 1:
        raise TargetError(f"{url} serves {len(served)} models.", why=", ".join(served[:20]), then="choose one: --model")
    return served[0]
