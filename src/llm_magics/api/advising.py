"""What a running server really answers: which questions fit it is told by its adapter, or found out at its URL."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_magics.advice.probe import Server, Tried


def probe(target: Any) -> list[Tried]:
    """Try every endpoint of a running server (a name, a `Server` or a URL).

    Of a server of ours its adapter says which API it speaks and where its health, its metrics and its tokens are; a
    URL is asked whether it is one of the KServe family or of OpenAI's.

    Raises
    ------
    TargetError
        When there is no such server or it does not answer.
    """
    from llm_magics.advice.probe import Server
    from llm_magics.advice.probe import probe as tried

    if isinstance(target, str) and "://" in target and (model := _kserve_model(target)):
        url = target.rstrip("/").removesuffix("/v2")
        return tried(Server(url, model, protocol="kserve", health="/v2/health/ready"))
    from llm_magics.api.targets import resolve

    found = resolve(target)
    endpoint, key = found.endpoint, found.provenance.get("engine", "")
    try:
        return tried(_known(Server(endpoint.url, endpoint.model, endpoint.api_key), key))
    finally:
        found.close()


def _known(server: Server, key: str) -> Server:
    """The server with what its engine's adapter knows of it."""
    from llm_magics import engines
    from llm_magics.advice.probe import EXACT

    if key not in engines.names():
        return server
    engine = engines.get(key)
    page = engine.metrics
    return replace(
        server, protocol=engine.protocol, health=engine.ready_path, tokenize=engine.tokenize_path or "/tokenize",
        metrics=page.path if page else None, metrics_beside=page.beside if page else 0,
        body={name: value for name, value in engine.body().items() if name != "stream_options"},
        exact=engine.fixed_length(EXACT),
    )  # fmt: skip


def _kserve_model(url: str) -> str | None:
    """The first model of a server of the KServe family; None where the URL is of another kind."""
    from llm_magics.errors import TargetError
    from llm_magics.load.asking import ask

    base = url.rstrip("/").removesuffix("/v2")
    try:
        if ask(base, "GET", "/v1/models").status == 200 or ask(base, "GET", "/v2/health/ready").status != 200:
            return None
        index = ask(base, "POST", "/v2/repository/index", {}).document
    except TargetError:
        return None
    ready = [each["name"] for each in index or () if isinstance(each, dict) and each.get("state", "READY") == "READY"]
    return str(ready[0]) if ready else None
