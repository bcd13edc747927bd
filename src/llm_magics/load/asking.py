"""One question to a server over plain blocking HTTP: never timed, and every failure says what to do about it."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from typing import Any

from llm_magics.errors import TargetError
from llm_magics.load.address import Address, address, proxy_note
from llm_magics.load.server_words import explain

TIMEOUT = 30.0  # s for a question that needs no generation
_LARGEST = 16 * 1024 * 1024  # bytes of an answer to a question


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
    url: str, method: str, path: str, body: Any = None, *, api_key: str | None = None, timeout: float = TIMEOUT
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
