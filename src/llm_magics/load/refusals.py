"""A server that refuses a run's first requests alike refuses the others too: it is known after a few."""

from __future__ import annotations

from collections.abc import Callable

from llm_magics.load.reply import Reply

_TRANSIENT = frozenset({408, 425, 429})  # what a server refuses now and may take later


class Refusals:
    """The refusals that a run began with.

    Parameters
    ----------
    patience
        So many alike, and `tell` is called with the words; 0 for never.
    """

    def __init__(self, patience: int, tell: Callable[[str], None]) -> None:
        self._patience, self._tell = patience, tell
        self._seen = 0
        self._status: int | None = None

    def goes_on(self, reply: Reply) -> bool:
        """Note an answer; False once anything else has come back, and nothing need be noted any more."""
        status = reply.status if reply.error else None
        if status is None or not 400 <= status < 500 or status in _TRANSIENT or self._status not in (None, status):
            return False
        self._status = status
        self._seen += 1
        if self._seen == self._patience:
            self._tell(f"the first {self._patience} requests were all refused alike: {reply.error}")
        return True
