"""What may be benched or compared: a server's name, a Server, or the URL of any OpenAI-compatible endpoint.

Or a deployment in a cluster: `k8s://NAMESPACE/NAME` (see `cluster_targets`).
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llm_magics.errors import SpecError, StoreError, TargetError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from llm_magics.api.watching import Watch
    from llm_magics.engines.base import Engine
    from llm_magics.errors import NoServerError
    from llm_magics.load.endpoint import Endpoint
    from llm_magics.runtime.record import Record
    from llm_magics.runtime.registry import Registry


@dataclass(frozen=True)
class Target:
    """Something that takes load: its name in tables, how to reach it, what is known of it for the run's record.

    `watch` sees the server itself while it is measured: its metrics, its processes, its GPUs; None for a URL.
    """

    name: str
    endpoint: Endpoint
    provenance: dict[str, Any] = field(default_factory=dict)
    ended: Callable[[], str | None] | None = field(default=None, repr=False)
    """Says why the server behind it runs no more, None while it runs; None where nobody can know."""
    watch: Watch | None = None
    close: Callable[[], None] = field(default=lambda: None, repr=False)
    """Gives back what reaches it (a port-forward); whoever resolved the target calls it."""


def resolve(target: Any, *, model: str | None = None, api_key: str | None = None) -> Target:
    """A target from whatever a user wrote.

    Parameters
    ----------
    target
        Name of a server, a `Server`, a base URL with or without `/v1`, or `k8s://NAMESPACE/NAME`.
    model
        For a URL that serves several models: which one.
    api_key
        For a URL: its key. When left out, `OPENAI_API_KEY` goes to the host that `OPENAI_BASE_URL` names (or, without
        one, to api.openai.com), and to nobody else.

    Raises
    ------
    TargetError
        When there is no such server, it is not ready, or the URL does not answer as an OpenAI-compatible server; or is
        that of a server of ours that has a key, and none was given.
    """
    from llm_magics.runtime.server import Server

    if isinstance(target, str) and target.startswith("k8s://"):
        from llm_magics.api.cluster_targets import in_cluster

        return in_cluster(target, model, api_key)
    if isinstance(target, str) and "://" in target:
        return _from_url(target, model, api_key)
    if isinstance(target, Server):
        target = target.name
    if not isinstance(target, str):
        raise TargetError(f"{target!r} cannot be benched.", then="give a server's name, a Server, or a URL")
    if model or api_key:
        raise TargetError(f"model and api_key are for URLs; {target} has its own.", then="leave them out")
    return _from_server(target)


def _from_server(name: str) -> Target:
    from llm_magics import engines
    from llm_magics.api.watching import Watch
    from llm_magics.load.endpoint import Endpoint
    from llm_magics.load.protocol import PROTOCOLS
    from llm_magics.runtime.elsewhere import out_of_reach
    from llm_magics.runtime.owner import adopt
    from llm_magics.runtime.registry import Registry
    from llm_magics.runtime.server import Server, again, reason

    registry = Registry()
    record = registry.get(name)
    if record is not None and record.state in ("starting", "loading"):
        record = Server(name).wait().record
    if record is not None and record.state == "elsewhere":
        raise out_of_reach(record, "asked", TargetError)
    if record is None or record.state != "ready":
        if record is None:
            raise _nobody(name, registry)
        then = again(record)
        if there := _deployed(name):
            then += f"; as it was deployed: `%bench {there}`"
        names = [each.name for each in registry.list() if each.state == "ready"]
        ready = f"ready: {', '.join(names)}" if names else "no server is ready"
        raise TargetError(f"{name} is {record.state}.", why="\n".join(filter(None, (reason(record), ready))), then=then)
    if record.asleep:
        raise TargetError(f"{name} is asleep.", why="it has given its GPU memory back", then=f"`%llm wake {name}`")
    with suppress(OSError):  # a disk that takes nothing more: it is measured all the same
        try:
            adopt(name)
        except KeyError:
            raise TargetError(f"{name} was stopped just now.", then=f"start it: `%serve {name}`") from None
    engine, key = engines.get(record.engine), registry.key(name)
    endpoint = Endpoint(
        url=record.url,
        model=record.served_model,
        api_key=key,
        body=engine.body(),
        fixed_length=engine.fixed_length,
        tokenize_path=engine.tokenize_path,
        json_answer=engine.json_answer,
        protocol=PROTOCOLS[engine.protocol],
    )
    return Target(
        name,
        endpoint,
        {
            "target": name,
            "engine": record.engine,
            "engine_version": record.engine_version,
            "model": record.model,
            "command": record.command,
            "gpus": record.gpus,
            "spec": record.spec,
            "ready_after": record.ready_at - record.created if record.ready_at else None,
            **_set_up(engine, record.spec),
        },
        ended=lambda: _ended(registry, record),
        watch=Watch(record, engine, key),
    )


def _nobody(name: str, registry: Registry) -> NoServerError:
    """The error of a name that no server here has."""
    from llm_magics.runtime.unknown import no_server
    from llm_magics.spec.quantities import is_name

    if ":" in name or "/" in name:
        return no_server(name, registry, then=f"a URL begins with http://: http://{name}")
    if not is_name(name):
        return no_server(name, registry, then="`%llm list` shows the servers, `%llm runs` the runs")
    start, there = f"start it: `%serve {name}`", _deployed(name)
    if there is not None:
        return no_server(name, registry, then=f"{start}; as it was deployed: `%bench {there}`", sure=True)
    return no_server(name, registry, then=start)


def _deployed(name: str) -> str | None:
    """Where something was deployed under a name last, as a target.

    It is told and not taken: a name is the server here, and a load that was meant for it must not reach a cluster.
    """
    from llm_magics.results.journal import Journal

    try:
        known = [deed.facts for deed in Journal().deeds() if deed.kind == "deployed" and deed.facts.get("name") == name]
    except StoreError:
        return None
    return str(known[-1]["target"]) if known else None


def _ended(registry: Registry, then: Record) -> str | None:
    """What became of a server that was ready: None while the same one is."""
    now = registry.get(then.name)
    if now is not None and now.created == then.created and now.state in ("ready", "stopping"):
        return None
    if now is None or now.created != then.created:
        return "it was stopped"
    return (now.diagnosis or {}).get("cause") or f"it is {now.state}"


def _set_up(engine: Engine, spec: Mapping[str, Any]) -> dict[str, int | None]:
    """What it takes to have this engine here: bytes on this disk, and commands that set it up by hand.

    None where it runs elsewhere or in a container, where its bytes cannot be told from others', and where it came in
    another way than by pip.
    """
    from llm_magics.engines import environments, hardware
    from llm_magics.engines.installed_size import installed_size

    size = steps = None
    with suppress(SpecError, OSError):
        here = spec.get("on", "local") == "local"
        found = environments.locate(engine, python=spec.get("python"), bin=spec.get("bin")) if here else None
        if found is not None and found.binary is None:
            steps = engine.install.commands(gpu=hardware.has_gpu() and not found.for_cpus)
        if found is not None:
            size = installed_size(engine, found)
    return {"install_size": size, "setup_steps": steps}


def _ours(place: str) -> str | None:
    """The running server of ours at a `HOST:PORT`, where it has a key: by its name it is reached with it."""
    from llm_magics.runtime.registry import Registry

    registry, at = Registry(), place.replace("localhost", "127.0.0.1")
    found = (record.name for record in registry.list() if record.alive and urlsplit(record.url).netloc == at)
    return next((name for name in found if registry.key(name) is not None), None)


def _from_url(url: str, model: str | None, api_key: str | None) -> Target:
    from llm_magics.load.endpoint import Endpoint
    from llm_magics.load.probing import models

    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise TargetError(f"{url} is not a URL.", why=str(error), then="write http://HOST:PORT") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise TargetError(f"{url} is not a URL that can be benched.", then="write http://HOST:PORT")
    base = url.rstrip("/").removesuffix("/v1")
    home = urlsplit(os.environ.get("OPENAI_BASE_URL", "https://api.openai.com")).netloc
    key = api_key or (os.environ.get("OPENAI_API_KEY") if parts.netloc == home else None)
    if key is None and (ours := _ours(parts.netloc)) is not None:
        raise TargetError(
            f"{base} is the server {ours}, which asks for its key.",
            then=f"write its name in place of the URL: `%bench {ours}`",
        )
    if model is None:
        served = models(base, key)
        if len(served) != 1:
            raise TargetError(
                f"{base} serves {len(served)} models.",
                why=", ".join(served[:20]),
                then=f"choose one: --model {served[0] if served else 'NAME'}",
            )
        model = served[0]
    name = urlsplit(base)._replace(scheme="").geturl().lstrip("/").rpartition("@")[2]
    endpoint = Endpoint(url=base, model=model, api_key=key, body={"stream_options": {"include_usage": True}})
    return Target(name, endpoint, {"target": base, "engine": "unknown", "engine_version": "", "model": model})
