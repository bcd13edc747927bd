"""One answer of one server to one prompt: what `%%compare A B` with a prompt shows side by side.

It carries the few figures that one request can give. None of them is a measurement of a server: one prompt decides
nothing, and `comparison` says so.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """What one server said, and how fast. Times are seconds from the moment the request was written.

    Attributes
    ----------
    name, model
        The server (or URL) that was asked and the model it served.
    text
        The answer, unescaped: whoever shows it as HTML escapes it.
    ttft, e2e
        First and last chunk with content; None where none came.
    tokens, prompt_tokens
        As the server's `usage` says; None where it says nothing.
    tokens_per_s
        Output tokens / `e2e`: the whole answer, the wait for its first chunk included.
    finish
        The server's finish_reason: `stop`, `length` …
    error
        Why there is no (whole) answer, in the server's own words; None when there is one.
    """

    name: str
    model: str = ""
    text: str = ""
    ttft: float | None = None
    tokens: int | None = None
    tokens_per_s: float | None = None
    prompt_tokens: int | None = None
    e2e: float | None = None
    finish: str | None = None
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the server answered to the end."""
        return self.error is None
