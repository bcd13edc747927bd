"""A place on a node: what is asked of it comes back, or the node is lost.

A node is only lost when the cluster says so, or says nothing itself: one with too much to do answers late, and what it
answers late must not get lost.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_magics.cluster.session import Session

ANSWER = 20.0  # s for one answer of an actor
PATIENCE = 60.0  # s more for that, while the cluster sees the node: a machine with too much to do is not lost


class NodeLost(Exception):  # noqa: N818 - what happened to it
    """A node, or Ray's process on it, is gone."""


class Place:
    """A `Node` on a node of the cluster. What is asked raises `NodeLost` when there is nobody to answer any more."""

    def __init__(self, session: Session, actor: Any) -> None:
        self.session, self.actor = session, actor
        self.hello = actor.about.remote()
        self.id = self.ip = self.cluster = ""
        self.gpus: str | None = None

    def arrive(self, reference: Any) -> None:
        """It is there: learn where."""
        about = self._got(reference, ANSWER)
        self.id, self.ip, self.cluster, self.gpus = about["id"], about["ip"], about["cluster"], about["gpus"]

    def call(self, method: str, *words: Any, seconds: float = ANSWER, **named: Any) -> Any:
        """The answer of one of `Node`'s methods."""
        return self._got(getattr(self.actor, method).remote(*words, **named), seconds)

    def tell(self, method: str, *words: Any) -> None:
        """Call a method, and do not wait for it."""
        with contextlib.suppress(Exception):
            getattr(self.actor, method).remote(*words)

    def _got(self, reference: Any, seconds: float) -> Any:
        errors, until = self.session.ray.exceptions, time.monotonic() + seconds + PATIENCE
        try:
            while True:  # of one and the same call: what it answers late must not get lost
                try:
                    return self.session.ray.get(reference, timeout=seconds)
                except errors.GetTimeoutError:
                    if time.monotonic() >= until or not self.session.alive(self.id):
                        raise NodeLost(f"it has not answered for {seconds:g} s") from None
        except (errors.RayActorError, errors.RaySystemError, ConnectionError, OSError) as error:
            raise NodeLost(" ".join(str(error).split())[:300]) from None

    def why_lost(self, said: str, seconds: float = 10.0) -> str:
        """What became of it, in words: the cluster is given some seconds to notice that a node is gone."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if not self.session.alive(self.id):
                return "the node is gone"
            if "not answered" in said:
                return said
            time.sleep(0.3)
        return f"Ray's process there ended: {said[:200]}"
