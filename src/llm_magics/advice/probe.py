"""What a running server really answers: endpoints tried one after another, not believed from a list.

Small requests of a few tokens each. An endpoint counts as there when it gives the answer it exists for; a status alone
proves nothing (llama.cpp answers 200 to some nonsense, SGLang to unknown model names). Where an engine says that it is
well, shows its metrics or counts tokens is its adapter's knowledge; which API it speaks decides what is tried.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_TIMEOUT = 60.0  # s; a busy CPU server needs some for four tokens
_MOST = 1 << 20  # bytes read of an answer
EXACT = 24  # tokens that are asked for where an exact length is tried
UNKNOWN = {"no_such_field": 1}


@dataclass(frozen=True)
class Tried:
    """One thing that was tried: `works` None where it could not be told; `detail` what came back."""

    what: str
    request: str
    works: bool | None
    detail: str


@dataclass(frozen=True)
class Reply:
    """An answer: HTTP status (0: none came), body as text, content type."""

    status: int
    text: str
    kind: str = ""

    @property
    def json(self) -> Any:
        """The body as JSON; None when it is none."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None

    @property
    def events(self) -> list[str]:
        """What stands behind `data:` in a stream."""
        return [line[5:].strip() for line in self.text.splitlines() if line.startswith("data:")]


@dataclass(frozen=True)
class Server:
    """A server that is asked, and what its adapter knows of it; the defaults are OpenAI's.

    Attributes
    ----------
    url, model, key
        Base address without `/v1`, the name that requests put in `model`, the API key.
    protocol
        A key of `load.protocol.PROTOCOLS`.
    health, tokenize
        Paths.
    metrics, metrics_beside
        The page of metrics, and how far above the server's port its port is; no path: not known.
    body
        Fields that every streamed request to this engine needs.
    exact
        Fields that make an answer exactly `EXACT` tokens long.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    protocol: str = "openai"
    health: str = "/health"
    tokenize: str = "/tokenize"
    metrics: str | None = None
    metrics_beside: int = 0
    body: Mapping[str, Any] = field(default_factory=dict)
    exact: Mapping[str, Any] = field(
        default_factory=lambda: {"ignore_eos": True, "min_tokens": EXACT, "max_tokens": EXACT}
    )

    def ask(
        self, path: str, body: dict[str, Any] | None = None, *, secret: bool = True, verb: str = "", beside: int = 0
    ) -> Reply:
        """One request; `secret` sends the key, `beside` goes to a port so far above the server's own."""
        url = self.url.rstrip("/")
        if beside:
            base, _, port = url.rpartition(":")
            url = f"{base}:{int(port) + beside}"
        return _asked(url + path, body, self.key if secret else None, verb)


def probe(server: Server, *, on_tried: Callable[[Tried], None] | None = None) -> list[Tried]:
    """Try every endpoint of a server.

    Parameters
    ----------
    on_tried
        Called as each is done.
    """
    from llm_magics.advice import probe_kserve, probe_openai

    questions = probe_kserve.questions if server.protocol == "kserve" else probe_openai.questions
    found = []
    for tried in questions(server):
        found.append(tried)
        if on_tried:
            on_tried(tried)
    return found


def judged(what: str, request: str, reply: Reply, good: Callable[[Reply], Any], said: str = "") -> Tried:
    """What came of a request: it works when the status is 200 and `good` holds; `said` is shown then."""
    try:
        works = reply.status == 200 and bool(good(reply))
    except (AttributeError, TypeError, KeyError, IndexError):
        works = False  # JSON, but not of the shape that this endpoint exists for
    return Tried(what, request, works, (said or str(reply.status)) if works else short(reply))


def metrics(server: Server) -> Tried:
    """The page of metrics.

    Where the adapter names none it is looked at only when a HEAD says that it is plain text: TensorRT-LLM's `/metrics`
    is JSON that empties when it is read, and whoever reads it takes it from somebody else.
    """
    path = server.metrics or "/metrics"
    where = f"GET {path}{f' (port + {server.metrics_beside})' if server.metrics_beside else ''}"
    if server.metrics is None:
        head = server.ask(path, verb="HEAD")
        if head.status != 200 or not head.kind.startswith(("text/plain", "application/openmetrics")):
            told = f"{head.status or 'no answer'}: no page of plain text, so it was not read"
            return Tried("metrics", f"HEAD {path}", False, told)
    page = server.ask(path, beside=server.metrics_beside)
    count = page.text.count("# TYPE")
    return judged("metrics", where, page, lambda _: count, f"200, {count} metrics")


def short(reply: Reply) -> str:
    """What came back, in a few words."""
    said = reply.json
    if isinstance(said, dict):
        error = said.get("error") or said.get("detail") or said.get("message") or ""
        text = error.get("message", "") if isinstance(error, dict) else str(error)
    else:
        text = "" if "html" in reply.kind else reply.text
    words = " ".join(text.split())[:100]
    return f"{reply.status or 'no answer'}{f': {words}' if words else ''}"


def loaded(text: str) -> Any:
    """Text as JSON; None when it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _asked(url: str, body: dict[str, Any] | None, key: str | None, verb: str) -> Reply:
    """One request to a server of ours or one that a person named; an error's body is an answer too."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers, method=verb or None)  # noqa: S310 - http(s), as `api` checked
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_TIMEOUT) as answer:
            return Reply(
                answer.status, answer.read(_MOST).decode("utf-8", "replace"), answer.headers.get_content_type()
            )
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, error.read(_MOST).decode("utf-8", "replace"), error.headers.get_content_type())
    except (OSError, ValueError) as error:
        return Reply(0, str(getattr(error, "reason", error)))
