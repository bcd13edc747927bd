"""Where on a cluster a server will be, and what was found there: asked before anything is started."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_magics.cluster import python

_PATIENCE = 300.0  # s for the whole look: connecting, finding a place, asking what is there


@dataclass(frozen=True)
class Placement:
    """A place for one server.

    Attributes
    ----------
    on
        `ray` or `ray://HOST:PORT`.
    node, ip
        Ray's id of the node, and the address at which it will answer.
    python, binary, version
        The engine as it is on the node.
    cpus, gpus
        What Ray reserves; of GPUs spread over several nodes, none: the engine reserves them itself.
    across
        Whether its GPUs are on several nodes.
    """

    on: str
    node: str
    ip: str
    python: str | None
    binary: str | None
    version: str
    cpus: int
    gpus: int
    across: bool = False

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.ip.startswith("127.") or self.ip == "::1"


def find(
    on: str,
    *,
    cpus: int,
    gpus: int | None,
    spread: bool,
    reference: str,
    title: str,
    hint: str,
    given: Mapping[str, str | None],
    paths: Sequence[str],
    on_wait: Callable[[float], None],
) -> Placement:
    """A node with room, the engine, and the files.

    Parameters
    ----------
    cpus, gpus
        What it needs; `gpus` None: one where the cluster has any.
    spread
        Whether the engine can use GPUs of several nodes.
    reference, title, hint
        The engine: where its adapter is, what people call it, what installs it.
    given
        `python` and `bin` that the user named; of the node.
    paths
        Files and folders that the node must see.
    on_wait
        Hears how long it takes, s.

    Raises
    ------
    SpecError
        When the cluster does not answer, has other versions or no room, or no node has what is needed.
    """
    question = {
        "on": on, "cpus": cpus, "gpus": gpus, "spread": spread, "reference": reference, "title": title, "hint": hint,
        "given": dict(given), "paths": list(paths),
    }  # fmt: skip
    answer: dict[str, Any] = python.asked("llm_magics.cluster.looking", question, _PATIENCE, on_wait)
    return Placement(on=on, **answer)
