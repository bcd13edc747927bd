"""Finding out when an engine is ready: its own health page says so, on a socket that is verified to be its own."""

from __future__ import annotations

import contextlib
import selectors
import time
from collections.abc import Callable, Iterable

from llm_magics.runtime import containers, ports
from llm_magics.runtime.identity import Identity
from llm_magics.runtime.plan import Attempt
from llm_magics.runtime.probe import Probe


class Readiness:
    """Asks one starting engine again and again, inside the supervisor's loop.

    Parameters
    ----------
    selector
        The loop's; an answer that is on its way is registered there.
    attempt, path, key
        Whom to ask for what; the path's status 200 means ready.
    tree
        Returns the engine's processes: only a port that one of them holds is asked.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        attempt: Attempt,
        path: str,
        key: str | None,
        tree: Callable[[], Iterable[Identity]],
    ) -> None:
        self._selector = selector
        self._probe = Probe(attempt.host, attempt.port, path, key)
        self._attempt = attempt
        self._tree = tree
        self._ours = False
        self.announced = False  # that an engine on a cluster's node listens: its guard there has seen whose port it is
        self._born = time.monotonic()
        self.next = 0.0
        self.ready = False

    def look(self) -> None:
        """Ask, when it is time to ask. Often at first; an engine that takes minutes is not hurried."""
        now = time.monotonic()
        if now < self.next or self.ready:
            return
        self.next = now + min(0.5, max(0.02, (now - self._born) / 50))
        if self._probe.busy:
            self._hear()
        if self.ready or self._probe.busy or not self._probe.connect():
            return
        if not self._ours:
            self._ours = self._is_ours()
        if not self._ours:
            self._probe.close()  # somebody else answers there: the key is not for them
            return
        self._probe.ask()
        if self._probe.socket is not None:
            self._selector.register(self._probe.socket, selectors.EVENT_READ, self._hear)

    def close(self) -> None:
        """Stop asking."""
        if self._probe.socket is not None:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(self._probe.socket)
            self._probe.close()

    def _is_ours(self) -> bool:
        """Whether the server's own process listens there; a container's port is its daemon's, which is asked once."""
        attempt = self._attempt
        if attempt.node is not None:
            return self.announced
        if attempt.container is not None:
            return containers.publishes(attempt.container, attempt.port, attempt.env)
        return ports.held_by(attempt.port, (process.pid for process in self._tree())) is not False

    def _hear(self) -> None:
        status = self._probe.status()
        if status is not None:
            self.close()
            self.ready = status == 200
