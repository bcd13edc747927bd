"""A compose file: the same container on one machine with Docker, for what needs no cluster.

Here the pods' restriction does not hold: a model on this machine's disk is mounted from where it lies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llm_magics.deployment.documents import Document, Written
from llm_magics.deployment.pod import FILES, MODEL, disk

if TYPE_CHECKING:
    from llm_magics.deployment.pod import Pod

_PERIOD = 15  # s


def project(pod: Pod, local: str | None, port: int, devices: Sequence[int] = ()) -> Written:
    """A compose project of one server.

    Parameters
    ----------
    local
        The model's path on this machine, where it is local: mounted for reading.
    port
        Port of this machine, on the loopback interface only.
    devices
        Numbers of the GPUs that the spec names; any when empty.
    """
    service: dict[str, Any] = {"image": pod.image}
    if pod.command:
        service["entrypoint"] = _escaped(pod.command[:1])
    words = pod.command[1:] or pod.args
    service["command"] = _escaped(words)
    names = {key: _variable(pod, key) for key in pod.secrets}
    service["environment"] = {key: _escape(value) for key, value in sorted(pod.env.items())} | {
        key: f"${{{name}:-}}" if pod.secrets[key].optional else f"${{{name}:?export {name}}}"
        for key, name in names.items()
    }
    service["ports"] = [f"127.0.0.1:{port}:{pod.port}"]
    if pod.metrics_port != pod.port:
        service["ports"].append(f"127.0.0.1:{port + pod.metrics_port - pod.port}:{pod.metrics_port}")
    mounts, volumes, configs = _mounts(pod, local)
    service["volumes"] = mounts
    if configs:
        service["configs"] = [{"source": name, "target": f"{FILES}/{file}"} for name, file in configs.items()]
    if pod.shm:
        service["shm_size"] = f"{pod.shm[:-2]}gb" if pod.shm.endswith("Gi") else pod.shm
    service |= {"restart": "unless-stopped", "stop_grace_period": f"{math.ceil(pod.grace)}s"}
    service["healthcheck"] = {
        "test": ["CMD", *_escaped(pod.asks)], "interval": f"{_PERIOD}s", "timeout": "30s", "retries": 4,
        "start_period": f"{math.ceil(pod.startup)}s",
    }  # fmt: skip
    if pod.gpus:
        which = {"device_ids": [str(index) for index in devices]} if devices else {"count": pod.gpus}
        service["deploy"] = {"resources": {"reservations": {"devices": [
            {"driver": "nvidia", **which, "capabilities": ["gpu"]}]}}}  # fmt: skip
    services = {pod.name: service}
    if pod.prepare:
        put_in = {"image": pod.image, "entrypoint": _escaped(pod.prepare[:1]), "command": _escaped(pod.prepare[1:]),
                  "environment": service["environment"], "volumes": mounts}  # fmt: skip
        services = {f"{pod.name}-put-in": put_in, pod.name: service}
        service["depends_on"] = {f"{pod.name}-put-in": {"condition": "service_completed_successfully"}}
    body: dict[str, Any] = {"name": pod.name, "services": services}
    if volumes:
        body["volumes"] = volumes
    if configs:
        body["configs"] = {name: {"content": _escape(pod.files[file])} for name, file in configs.items()}
    body = {key: value for key, value in body.items() if value}
    key, file = names.get(pod.engine.key_env or ""), f"{pod.name}-compose.yaml"
    first = [f'export {key}="$(openssl rand -hex 32)"'] if key else []
    first += [f"export {name}=…" for variable, name in names.items()
              if name != key and not pod.secrets[variable].optional]  # fmt: skip
    return Written(
        "compose", pod.spec.name, "", file, [Document(body)], first=first,
        then=[f"docker compose -f {file} up --detach --wait",
              f"docker compose -f {file} down    # stops it; with --volumes the downloaded models go too"],
    )  # fmt: skip


def _mounts(pod: Pod, local: str | None) -> tuple[list[Any], dict[str, Any], dict[str, str]]:
    mounts: list[Any] = []
    volumes: dict[str, Any] = {}
    if local:
        source, inside = disk(local)
        target = f"{MODEL}/{inside.partition('/')[0]}"
        mounts.append({"type": "bind", "source": _escape(source), "target": target, "read_only": True})
    if pod.cache:
        mounts.append({"type": "volume", "source": "models", "target": pod.cache})
        volumes["models"] = {}
    return mounts, volumes, {f"file-{number}": name for number, name in enumerate(sorted(pod.files))}


def _variable(pod: Pod, key: str) -> str:
    """What the secret is called in the shell: the key of this server, the hub's token as everywhere."""
    return f"{pod.name.replace('-', '_').upper()}_API_KEY" if key == pod.engine.key_env else key


def _escape(text: str) -> str:
    return text.replace("$", "$$")  # compose would put a variable in


def _escaped(words: list[str]) -> list[str]:
    return [_escape(word) for word in words]
