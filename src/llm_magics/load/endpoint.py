"""A target as the load generator sees it: an address that speaks OpenAI's API, and what an engine's adapter adds to it.

`probe` and `models` ask it the few questions that must be answered before a run, with plain blocking HTTP: they are
never timed. Every failure says what to do about it.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from llm_magics.errors import TargetError
from llm_magics.load.protocol import OPENAI, Protocol
from llm_magics.load.server_words import explain

_TIMEOUT = 30.0  # s for a question that needs no generation
_LARGEST = 16 * 1024 * 1024  # bytes of an answer to a question


def response_format(schema: dict[str, Any]) -> dict[str, Any]:
    """How OpenAI's API is asked for an answer that keeps a JSON schema."""
    return {
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    }


@dataclass
class Endpoint:
    """A server that takes load: OpenAI-compatible, unless `protocol` says otherwise.

    Attributes
    ----------
    url
        Base URL, with or without `/v1`.
    model
        What a request puts in `model`.
    api_key
        Sent as a bearer token; never logged, never in a command line.
    body
        Fields that every streamed request to this engine needs; by default a usage chunk is asked for.
    fixed_length
        Fields that make an answer exactly so many tokens long, as far as the engine can.
    tokenize_path
        Where the engine counts tokens (`/tokenize`), when it does.
    json_answer
        Fields that ask for an answer which keeps a JSON schema; OpenAI's `response_format` unless an engine differs.
    sample
        Reads the server's own metrics, portable name -> value; may raise, may be slow.
    protocol
        The API it speaks.
    """

    url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    body: dict[str, Any] = field(default_factory=lambda: {"stream_options": {"include_usage": True}})
    fixed_length: Callable[[int], dict[str, Any]] | None = None
    tokenize_path: str | None = None
    json_answer: Callable[[dict[str, Any]], dict[str, Any]] = field(default=response_format)
    sample: Callable[[], dict[str, float]] | None = None
    protocol: Protocol = OPENAI

    @property
    def address(self) -> Address:
        """The parts of the URL."""
        return address(self.url)

    def ask(self, method: str, path: str, body: Any = None, *, timeout: float = _TIMEOUT) -> Said:
        """One request and its whole answer; `path` starts below the base URL, e.g. `/v1/models`."""
        return ask(self.url, method, path, body, api_key=self.api_key, timeout=timeout)


@dataclass(frozen=True)
class Address:
    """The parts of a base URL; `path` has neither `/v1` nor a slash at its end."""

    tls: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


@dataclass(frozen=True)
class Said:
    """An answer: HTTP status, the JSON it held (None when it was something else), and its text."""

    status: int
    document: Any
    text: str

    @property
    def words(self) -> str:
        """What the server said, short."""
        return explain(self.document) if self.document is not None else " ".join(self.text.split())[:300]


def address(url: str) -> Address:
    """The parts of a base URL.

    Raises
    ------
    TargetError
        When it is no http or https URL with a host.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise TargetError(f"{url} is not a URL.", why=str(error), then="write http://HOST:PORT") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise TargetError(
            f"{url} is not a URL of a server.", then="write http://HOST:PORT, for example http://127.0.0.1:8000"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise TargetError(
            "A target's URL holds neither a password nor a query.",
            then="give the key as api_key, the path alone as URL",
        )
    tls = parts.scheme == "https"
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    if any(ord(letter) < 33 for letter in path):
        raise TargetError(f"{url!r} is not a URL.", then="write http://HOST:PORT")
    return Address(tls, parts.hostname, port or (443 if tls else 80), path)


def headers(where: Address, api_key: str | None) -> dict[str, str]:
    """The headers of every request but its length."""
    fields = {
        "Host": where.authority,
        "User-Agent": "llm-magics",
        "Accept": "text/event-stream, application/json",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
    }
    if api_key:
        if not api_key.isprintable() or not api_key.isascii():
            raise TargetError("The API key holds characters that no HTTP header may have.", then="check the key")
        fields["Authorization"] = f"Bearer {api_key}"
    return fields


def ask(
    url: str, method: str, path: str, body: Any = None, *, api_key: str | None = None, timeout: float = _TIMEOUT
) -> Said:
    """One blocking request.

    Raises
    ------
    TargetError
        When the server cannot be reached, does not answer in time, or does not speak HTTP.
    """
    where = address(url)
    kind = http.client.HTTPSConnection if where.tls else http.client.HTTPConnection
    connection = kind(where.host, where.port, timeout=timeout)
    try:
        connection.request(
            method,
            where.path + path,
            body=None if body is None else json.dumps(body).encode(),
            headers=headers(where, api_key),
        )
        answer = connection.getresponse()
        text = answer.read(_LARGEST).decode("utf-8", "replace")
        if 300 <= answer.status < 400:
            raise TargetError(
                f"{url} redirects to {answer.headers.get('Location', 'another address')}.",
                then="give that address as the target",
            )
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        return Said(answer.status, document, text)
    except TimeoutError:
        raise TargetError(
            f"{url} did not answer within {timeout:g} s.",
            why=proxy_note(where),
            then="see whether it is overloaded: its log, its metrics",
        ) from None
    except ssl.SSLError as error:
        raise TargetError(
            f"No secure connection to {url}.",
            why=str(error.reason or error),
            then="check http or https; for a private certificate authority set SSL_CERT_FILE",
        ) from None
    except OSError as error:
        raise TargetError(
            f"Nothing answers at {url}.",
            why="\n".join(filter(None, (error.strerror or str(error), proxy_note(where)))),
            then="start the server, or check host and port (`%llm list` shows what runs here)",
        ) from None
    except http.client.HTTPException as error:
        raise TargetError(
            f"What listens at {url} is not an HTTP server.",
            why=f"{type(error).__name__}: {error}",
            then="check the port",
        ) from None
    finally:
        connection.close()


def proxy_note(where: Address) -> str:
    """That a proxy which the environment names for this address is not used; "" where none would be.

    Requests go to the server itself: a proxy's own queues and buffers would be measured with it. The variable is
    named, its value is not: it may hold a password.
    """
    from urllib.request import getproxies_environment, proxy_bypass

    if where.host == "localhost" or where.host.endswith(".localhost") or _is_loopback(where.host):
        return ""
    proxies = getproxies_environment()
    scheme = next((key for key in ("https" if where.tls else "http", "all") if proxies.get(key)), None)
    if scheme is None or proxy_bypass(f"{where.host}:{where.port}"):
        return ""
    name = next((name for name in os.environ if name.lower() == f"{scheme}_proxy"), f"{scheme}_proxy")
    return f"{name} is set, but proxies are not used: requests go straight to {where.host}"


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


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
            f"{url} refuses the API key (HTTP {said.status}).", why=said.words, then="give the server's key as api_key"
        )
