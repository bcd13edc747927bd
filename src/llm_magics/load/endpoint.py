"""A target as the load generator sees it: an address that speaks OpenAI's API, and what an engine's adapter adds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from llm_magics.load.address import Address, address
from llm_magics.load.asking import TIMEOUT, Said, ask
from llm_magics.load.protocol import OPENAI, Protocol


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

    def ask(self, method: str, path: str, body: Any = None, *, timeout: float = TIMEOUT) -> Said:
        """One request and its whole answer; `path` starts below the base URL, e.g. `/v1/models`."""
        return ask(self.url, method, path, body, api_key=self.api_key, timeout=timeout)
