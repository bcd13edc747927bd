"""One driver's stay on a Ray cluster: places taken on nodes, everything given back.

Runs in a process of its own (see `entry`), in the Python that has Ray. Nothing here waits without a limit, because a
cluster that is gone answers nothing, not even that.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from llm_magics.cluster.bounded import within
from llm_magics.cluster.connecting import CONNECT, address_of, connected
from llm_magics.cluster.node import Node
from llm_magics.cluster.place import NodeLost, Place

PLACE = 60.0  # s until a place must have been found: a Python that imports Ray has to start there
FAREWELL = 10.0  # s for giving everything back
_HEAD = 5.0  # s for one answer of the head


class Session:
    """Connected to a cluster; a context manager.

    Parameters
    ----------
    on
        `ray` or `ray://HOST:PORT`.

    Raises
    ------
    SpecError
        When the cluster does not answer, or has other versions.
    """

    def __init__(self, on: str, seconds: float = CONNECT) -> None:
        self.ray = connected(address_of(on), seconds)
        self.ray.cloudpickle.register_pickle_by_value(sys.modules[Node.__module__])
        self._held: list[Any] = []

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        # What is held ends with this process, if the cluster is not there any more to be told.
        with contextlib.suppress(Exception):
            within(FAREWELL, self._leave)

    def _leave(self) -> None:
        for actor in self._held:
            with contextlib.suppress(Exception):
                self.ray.kill(actor)
        self.ray.shutdown()

    def nodes(self) -> list[dict[str, Any]]:
        """Nodes that are there: `id`, `ip`, `resources`."""
        return [
            {"id": each["NodeID"], "ip": each["NodeManagerAddress"], "resources": each["Resources"]}
            for each in self.ray.nodes()
            if each["Alive"]
        ]

    def free(self) -> dict[str, float]:
        """What nobody has reserved, of the whole cluster."""
        return dict(self.ray.available_resources())

    def ask_for(self, cpus: float, gpus: float, node: str | None = None) -> Place:
        """Ask for a place, on one node or on any; it may take its time to come (`wait_for`)."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        options: dict[str, Any] = {"num_cpus": cpus, "num_gpus": gpus, "max_concurrency": 8, "max_restarts": 0}
        options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=False) if node else "SPREAD"
        actor = self.ray.remote(Node).options(**options).remote()
        self._held.append(actor)
        return Place(self, actor)

    def wait_for(
        self,
        places: Sequence[Place],
        seconds: float,
        stop: Callable[[], bool] = lambda: False,
        enough: int | None = None,
    ) -> list[Place]:
        """Those that have come within some seconds; earlier where all have, or `enough` of them."""
        until = time.monotonic() + seconds
        waiting = {each.hello: each for each in places}
        come: list[Place] = []
        while waiting and len(come) != enough and time.monotonic() < until and not stop():
            ready, _ = self.ray.wait(list(waiting), num_returns=1, timeout=0.5)
            for reference in ready:
                place = waiting.pop(reference)
                with contextlib.suppress(NodeLost):
                    place.arrive(reference)
                    come.append(place)
        return [each for each in places if each in come]

    def give_back(self, place: Place) -> None:
        """Let go of a place, or of the wish for one."""
        with contextlib.suppress(Exception):
            self.ray.kill(place.actor)

    def alive(self, node: str) -> bool:
        """Whether a node is there, as the cluster sees it."""
        try:
            return any(each["id"] == node for each in within(_HEAD, self.nodes))
        except Exception:  # noqa: BLE001 - a cluster that does not answer has no node
            return False


def room(nodes: Sequence[dict[str, Any]]) -> str:
    """What a cluster has, in words, node by node."""
    return "; ".join(
        f"{each['ip']}: {each['resources'].get('CPU', 0):g} CPU, {each['resources'].get('GPU', 0):g} GPU"
        for each in nodes
    ) or "no node"  # fmt: skip
