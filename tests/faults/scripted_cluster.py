"""A Kubernetes API server in this process that answers what a test tells it to, and remembers what was applied.

It knows namespaces, server-side apply (dry or not), pods and their logs, nodes, Secrets, and the discovery that kubectl
wants before it reads a manifest. What a cluster would do by itself is a function that a test gives: `pods`.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, Any]
_OBJECT = re.compile(r"/(?:api/v1|apis/[^/]+/[^/]+)/namespaces/([^/]+)/([^/]+)(?:/([^/]+))?(/log)?$")


def status(code: int, message: str, **details: Any) -> Answer:
    """A refusal as Kubernetes words it."""
    return code, {"kind": "Status", "status": "Failure", "message": message, "code": code, "details": details}


@dataclass
class ScriptedCluster:
    """State of the cluster, and what it refuses.

    Attributes
    ----------
    refuse
        Called with method, path and whether it is a dry run; an answer to give instead, or None.
    pods
        Called with how often it was asked for pods: the list as it is then.
    ready
        From which question for pods on the Deployment is ready; None: never.
    """

    url: str = ""
    objects: dict[str, Any] = field(default_factory=dict)
    namespaces: set[str] = field(default_factory=lambda: {"llm"})
    nodes: list[dict[str, Any]] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    refuse: Callable[[str, str, bool], Answer | None] = lambda _method, _path, _dry: None
    pods: Callable[[int], list[Any]] = lambda _: []
    ready: int | None = 0
    condition: dict[str, str] | None = None
    asked: list[str] = field(default_factory=list)
    looks: int = 0

    def applied(self) -> list[str]:
        """Kinds that were really written, in order."""
        return [each.split(" ")[1] for each in self.asked if each.startswith("PATCH ") and "dryRun" not in each]

    def kubeconfig(self, folder: Path) -> Path:
        """A kubeconfig that leads here."""
        file = folder / "kubeconfig"
        file.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": self.url}}],
            "users": [{"name": "me", "user": {"token": "cluster-token"}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        }))  # fmt: skip
        return file

    def answer(self, method: str, target: str, body: Any) -> Answer:
        """What is answered."""
        parts = urlsplit(target)
        dry = "dryRun=All" in parts.query
        self.asked.append(f"{method} {target}")
        if (refused := self.refuse(method, parts.path, dry)) is not None:
            return refused
        if parts.path == "/api/v1/nodes":
            return 200, {"items": self.nodes}
        if found := re.fullmatch(r"/api/v1/namespaces/([^/]+)", parts.path):
            name = found[1]
            return (200, {"metadata": {"name": name}}) if name in self.namespaces else _missing("namespaces", name)
        if found := _OBJECT.match(parts.path):
            return self._object(method, found[1], found[2], found[3], bool(found[4]), dry, body, parse_qs(parts.query))
        return self._discovery(parts.path)

    def _object(self, method: str, space: str, plural: str, name: str | None, log: bool, dry: bool, body: Any,
                query: dict[str, list[str]]) -> Answer:  # fmt: skip
        if log:
            previous = "-previous" if "previous" in query else ""
            text = self.logs.get(f"{name}{previous}")
            return (200, text) if text is not None else status(400, "previous terminated container not found")
        if plural == "pods":
            self.looks += 1
            return 200, {"items": self.pods(self.looks)}
        key = f"{space}/{plural}/{name}"
        if method == "PATCH":
            if space not in self.namespaces:
                return _missing("namespaces", space)
            if not dry:
                before = self.objects.get(key, {}).get("metadata", {}).get("generation", 0)
                self.objects[key] = {**body, "metadata": {**body["metadata"], "generation": before + 1}}
            return 200, body
        if name is None:
            return 200, {
                "items": [each for there, each in self.objects.items() if there.startswith(f"{space}/{plural}/")]
            }
        if key not in self.objects:
            return _missing(plural, name)
        return 200, self._with_status(plural, self.objects[key])

    def _with_status(self, plural: str, body: Any) -> Any:
        if plural not in ("deployments", "inferenceservices"):
            return body
        done = self.ready is not None and self.looks >= self.ready
        conditions = [self.condition] if self.condition else []
        if plural == "inferenceservices":
            return {**body, "status": {"conditions": [{"type": "Ready", "status": str(done)}, *conditions]}}
        many = body["spec"].get("replicas", 1) if done else 0
        now = {"observedGeneration": body["metadata"].get("generation", 0), "replicas": many, "updatedReplicas": many,
               "availableReplicas": many, "conditions": conditions}  # fmt: skip
        return {**body, "status": now}

    @staticmethod
    def _discovery(path: str) -> Answer:
        verbs = ["create", "get", "list", "patch", "delete"]
        kinds = {
            "/api/v1": {
                "persistentvolumeclaims": "PersistentVolumeClaim", "services": "Service", "configmaps": "ConfigMap",
            },
            "/apis/apps/v1": {"deployments": "Deployment"},
            "/apis/autoscaling/v2": {"horizontalpodautoscalers": "HorizontalPodAutoscaler"},
            "/apis/networking.k8s.io/v1": {"networkpolicies": "NetworkPolicy"},
            "/apis/monitoring.coreos.com/v1": {"servicemonitors": "ServiceMonitor"},
        }  # fmt: skip
        if path == "/version":
            return 200, {"major": "1", "minor": "37", "gitVersion": "v1.37.0"}
        if path == "/api":
            return 200, {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            groups = []
            for group in (each.split("/", 2)[2] for each in kinds if each.startswith("/apis/")):
                version = {"groupVersion": group, "version": group.split("/")[1]}
                groups.append({"name": group.split("/")[0], "versions": [version], "preferredVersion": version})
            return 200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        if path in kinds:
            resources = [{"name": plural, "singularName": "", "namespaced": True, "kind": kind, "verbs": verbs}
                         for plural, kind in kinds[path].items()]  # fmt: skip
            return 200, {"kind": "APIResourceList", "groupVersion": path.split("/", 2)[2], "resources": resources}
        return _missing("page", path)


def _missing(kind: str, name: str) -> Answer:
    return status(404, f'{kind} "{name}" not found')


def pod(
    name: str = "my-llm-7d9",
    *,
    scheduled: str = "",
    waiting: tuple[str, str] | None = None,
    ended: int | None = None,
    reason: str = "Error",
    ready: bool = False,
    running: bool = False,
) -> dict[str, Any]:
    """A pod in a state."""
    conditions = [{"type": "PodScheduled", "status": "False" if scheduled else "True", "message": scheduled}]
    container: dict[str, Any] = {"name": "server", "image": "vllm/vllm-openai:v0.33.0", "restartCount": 0, "state": {}}
    if waiting:
        container["state"] = {"waiting": {"reason": waiting[0], "message": waiting[1]}}
    if running or ready:
        container["state"] = {"running": {}}
    if ended is not None:
        container |= {"restartCount": 2, "lastState": {"terminated": {"exitCode": ended, "reason": reason}}}
    if ready:
        conditions.append({"type": "Ready", "status": "True"})
    containers = [] if scheduled else [container]
    return {"metadata": {"name": name}, "status": {"conditions": conditions, "containerStatuses": containers}}


@contextmanager
def cluster() -> Iterator[ScriptedCluster]:
    """A scripted cluster that listens on the loopback interface."""
    state = ScriptedCluster()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            text = self.rfile.read(length).decode()
            # kubectl sends no token over plain HTTP; it only reads here.
            kubectl = self.headers.get("User-Agent", "").startswith("kubectl") and self.command == "GET"
            if self.headers.get("Authorization") != "Bearer cluster-token" and not kubectl:
                code, said = status(401, "Unauthorized")
            else:
                code, said = state.answer(self.command, self.path, json.loads(text) if text else None)
            data = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response(code)
            self.send_header("Content-Type", "text/plain" if isinstance(said, str) else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PATCH = do_POST = _do  # noqa: N815 - http.server's names

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
