"""One driver's stay on a Ray cluster: connected within a time limit, places taken on nodes, everything given back.

Runs in a process of its own (see `entry`), in the Python that has Ray. Ray's own errors become the three lines that a
person reads; nothing here waits without a limit, because a cluster that is gone answers nothing, not even that.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from llm_magics.cluster.bounded import within
from llm_magics.errors import LLMMagicsError, SpecError

CONNECT = 60.0  # s until a cluster must have let us in; importing Ray takes five of them, on a busy machine thirty
PLACE = 60.0  # s until a place must have been found: a Python that imports Ray has to start there
ANSWER = 20.0  # s for one answer of an actor
PATIENCE = 60.0  # s more for that, while the cluster sees the node: a machine with too much to do is not lost
FAREWELL = 10.0  # s for giving everything back
_HEAD = 5.0  # s for one answer of the head
_VERSIONS = re.compile(r"[Vv]ersion mismatch|versions? (?:mismatch|differ|do not match)|[Mm]ismatch.*[Vv]ersion", re.S)
_EXIT = 7


class NodeLost(Exception):  # noqa: N818 - what happened to it
    """A node, or Ray's process on it, is gone."""


def address_of(on: str) -> str:
    """What Ray is given for `ray` or `ray://HOST:PORT`; a head's usual port is 10001."""
    if on == "ray":
        return os.environ.get("RAY_ADDRESS") or "auto"
    parts = urlsplit(on)
    return on if parts.port else f"ray://{parts.hostname}:10001"


def refused(error: BaseException, address: str) -> LLMMagicsError:
    """Why a cluster did not let us in, with what to do."""
    said = str(error).strip()
    if _VERSIONS.search(said):
        return SpecError(
            "The cluster has other versions of Ray or Python than this side.",
            why=" ".join(said.split())[:400],
            then="use the cluster's versions here: pip install 'ray[client]==VERSION' in that Python, and "
            "LLM_MAGICS_RAY_PYTHON=/path/to/python where the notebook has another",
        )
    if "ray[client]" in said or ("grpc" in said and "No module" in said):
        return SpecError(
            "This Ray cannot speak to a cluster by ray://.", why="it was installed without its client",
            then="pip install 'ray[client]'",
        )  # fmt: skip
    return SpecError(
        f"No Ray cluster answers at {address}.",
        why=" ".join(said.split())[:300] or type(error).__name__,
        then="start one (ray start --head), correct the address, or set RAY_ADDRESS; ray status asks it",
    )


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
        self.address = address_of(on)
        _knock(self.address)
        limit = threading.Timer(seconds, _give_up, (self.address, seconds))
        limit.daemon = True
        limit.start()
        try:
            self.ray: Any = importlib.import_module("ray")
            # Its own words are for its developers; where they matter they come as an error too.
            with _quiet():
                self.ray.init(
                    address=self.address, log_to_driver=False, logging_level="ERROR", namespace="llm-magics",
                    ignore_reinit_error=True,
                )  # fmt: skip
        except (Exception, SystemExit) as error:
            raise refused(error, self.address) from error
        finally:
            limit.cancel()
        from llm_magics.cluster import node

        self.ray.cloudpickle.register_pickle_by_value(node)
        self._node = node.Node
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
        actor = self.ray.remote(self._node).options(**options).remote()
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


class Place:
    """A `Node` on a node of the cluster. What is asked raises `NodeLost` when there is nobody to answer any more."""

    def __init__(self, session: Session, actor: Any) -> None:
        self.session, self.actor = session, actor
        self.hello = actor.about.remote()
        self.id = self.ip = ""
        self.gpus: str | None = None

    def arrive(self, reference: Any) -> None:
        """It is there: learn where."""
        about = self._got(reference, ANSWER)
        self.id, self.ip, self.gpus = about["id"], about["ip"], about["gpus"]

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


def room(nodes: Sequence[dict[str, Any]]) -> str:
    """What a cluster has, in words, node by node."""
    return "; ".join(
        f"{each['ip']}: {each['resources'].get('CPU', 0):g} CPU, {each['resources'].get('GPU', 0):g} GPU"
        for each in nodes
    ) or "no node"  # fmt: skip


def reach(host: str, port: int, seconds: float, stop: Callable[[], bool] = lambda: False) -> str:
    """Why a port cannot be connected to from here within some seconds; "" when it can."""
    until, why = time.monotonic() + seconds, "nothing was tried"
    while not stop():
        try:
            socket.create_connection((host, port), timeout=min(3.0, seconds)).close()
        except OSError as error:
            why = error.strerror or str(error)
        else:
            return ""
        if time.monotonic() >= until:
            return why
        time.sleep(0.2)
    return why


def _knock(address: str) -> None:
    """Nobody at the address is found out at once; Ray itself tries for a minute."""
    parts = urlsplit(address if "://" in address else f"ray://{address}")
    if address in ("auto", "local") or not parts.port or not parts.hostname:
        return
    if why := reach(parts.hostname, parts.port, 2.0):
        raise refused(ConnectionError(f"{parts.hostname}:{parts.port}: {why}"), address)


def _give_up(address: str, seconds: float) -> None:
    """From a thread: Ray's attempt to connect cannot be interrupted from within."""
    error = refused(TimeoutError(f"nothing came back within {seconds:g} s"), address)
    os.write(2, json.dumps({"what": error.what, "why": error.why, "then": error.then}).encode() + b"\n")
    os._exit(_EXIT)


@contextlib.contextmanager
def _quiet() -> Any:
    """Ray's connection writes warnings to stdout and stderr, which are spoken for."""
    before, sys.stdout = sys.stdout, sys.stderr
    try:
        yield
    finally:
        sys.stdout = before
