"""The few questions that must be answered before a run: is it a server of that API, and has it that model?"""

from __future__ import annotations

from typing import Any

from llm_magics.errors import TargetError
from llm_magics.load.asking import Said, ask
from llm_magics.load.endpoint import Endpoint


def models(url: str, api_key: str | None = None) -> list[str]:
    """The models that a server names.

    Raises
    ------
    TargetError
        When it does not answer, refuses the key, or answers with something else than OpenAI's list.
    """
    said = ask(url, "GET", "/v1/models", api_key=api_key)
    _refused(url, said)
    if isinstance(said.document, dict) and isinstance(said.document.get("data"), list):
        return [str(item["id"]) for item in said.document["data"] if isinstance(item, dict) and "id" in item]
    kind = "a web page" if "<html" in said.text[:2000].lower() else f"HTTP {said.status}"
    raise TargetError(
        f"{url} does not speak OpenAI's API: /v1/models answered {kind}.",
        why=said.words,
        then="give the base URL of the API, with its path if it has one (http://HOST:PORT/PATH without /v1)",
    )


def context(endpoint: Endpoint) -> int | None:
    """Most tokens of a request with its answer, where the server's list of models says it (vLLM, SGLang, llama.cpp)."""
    if endpoint.protocol.exists:
        return None
    try:
        document = endpoint.ask("GET", "/v1/models").document
    except TargetError:
        return None
    listed = document.get("data") if isinstance(document, dict) else None
    for item in listed if isinstance(listed, list) else []:
        if isinstance(item, dict) and item.get("id") == endpoint.model:
            meta = item.get("meta")
            found = item.get("max_model_len") or (meta.get("n_ctx") if isinstance(meta, dict) else None)
            return found if isinstance(found, int) and found > 0 else None
    return None


def probe(endpoint: Endpoint) -> None:
    """Make sure that a target answers as an OpenAI-compatible server with this model.

    Raises
    ------
    TargetError
        It does not answer, refuses the key, has no such model, or is something else.
    """
    if endpoint.protocol.exists:
        _exists(endpoint)
        return
    try:
        names = models(endpoint.url, endpoint.api_key)
    except TargetError as error:
        if not error.what.startswith(f"{endpoint.url} does not speak"):
            raise
        names = []  # some servers have no list of models (or fail on it); a one-token answer proves as much
    if names and endpoint.model not in names:
        shown = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
        raise TargetError(
            f"{endpoint.url} has no model {endpoint.model!r}.",
            why=f"it serves: {shown}",
            then=f"use model={names[0]!r}",
        )
    if not names:
        said = endpoint.ask("POST", "/v1/chat/completions", question(endpoint, "Hi", 1), timeout=120.0)
        _refused(endpoint.url, said)
        if said.status != 200 or not isinstance(said.document, dict) or "choices" not in said.document:
            raise TargetError(
                f"{endpoint.url} does not speak OpenAI's API: HTTP {said.status}.",
                why=said.words,
                then="give the base URL of the API, with its path if it has one (http://HOST:PORT/PATH without /v1)",
            )


def _exists(endpoint: Endpoint) -> None:
    said = endpoint.ask("GET", endpoint.protocol.exists.format(model=endpoint.model))
    _refused(endpoint.url, said)
    if said.status != 200:
        raise TargetError(
            f"{endpoint.url} has no model {endpoint.model!r} that is ready (HTTP {said.status}).",
            why=said.words,
            then="check the model's name, and the server's log",
        )


def question(endpoint: Endpoint, text: str, tokens: int, *, chat: bool = True) -> dict[str, Any]:
    """The body of a short question that is answered in one piece."""
    body = {key: value for key, value in endpoint.body.items() if key not in ("stream", "stream_options")}
    return {
        **endpoint.protocol.named(endpoint.model),
        **endpoint.protocol.said(text, chat=chat),
        "max_tokens": tokens,
        "temperature": 0.0,
        **body,
    }


def _refused(url: str, said: Said) -> None:
    if said.status in (401, 403):
        raise TargetError(
            f"{url} refuses the API key (HTTP {said.status}).",
            why=said.words,
            then="give the server's key: --api-key KEY (from Python: api_key=…)",
        )
