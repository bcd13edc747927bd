"""Nodes for the workers of a load: places on them, the code sent there, and whether they can do what is asked."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

from llm_magics.cluster import parcel
from llm_magics.cluster.place import NodeLost, Place
from llm_magics.cluster.session import PLACE, Session, room
from llm_magics.errors import SpecError


def find(session: Session, workers: int | str, most: int, stop: Callable[[], bool]) -> list[Place]:
    """One place on every node that has a core free (`auto`), or as many as were asked for; [] when told to stop.

    Raises
    ------
    SpecError
        When there is no room.
    """
    nodes = [node for node in session.nodes() if node["resources"].get("CPU", 0) >= 1]
    enough = None
    if workers == "auto":
        # A node whose cores are taken never comes: as many are waited for as there are cores to be had.
        enough = max(1, min(len(nodes), most, int(session.free().get("CPU", 0))))
        wanted = [session.ask_for(1, 0, node["id"]) for node in nodes]
    else:
        wanted = [session.ask_for(1, 0) for _ in range(min(int(workers), most))]
    come = session.wait_for(wanted, PLACE, stop, enough)[:most]
    for place in wanted:
        if place not in come:
            session.give_back(place)
    if not stop() and (not come or (workers != "auto" and len(come) < len(wanted))):
        raise SpecError(
            f"The cluster has {len(come) or 'no'} CPU{'' if len(come) == 1 else 's'} free for load workers"
            + (f", {len(wanted)} were asked for." if workers != "auto" else "."),
            why=f"each takes one; nodes: {room(nodes)}",
            then="stop what holds them (ray status), ask for fewer (workers: N), or leave --on out",
        )
    return come


def prepare(places: list[Place], where: dict[str, Any]) -> None:
    """Send the code to all nodes at once, and see that it runs there and that the server is reached from there.

    Parameters
    ----------
    where
        `host` and `port` of the server.

    Raises
    ------
    SpecError
        The first failure; what was sent is removed then.
    """
    sent, failed = parcel.pack(), list[BaseException]()

    def one(place: Place) -> None:
        try:
            with beginning(place):
                _prepare(place, sent, where)
        except Exception as error:  # noqa: BLE001 - raised below, in the thread that ends the run
            failed.append(error)

    threads = [threading.Thread(target=one, args=(place,)) for place in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        for place in places:  # nothing was started that would take its parcel away
            with contextlib.suppress(NodeLost):
                place.call("clear", seconds=5)
        raise failed[0]


@contextlib.contextmanager
def beginning(place: Place) -> Iterator[None]:
    """What a node's loss means before the load has begun."""
    try:
        yield
    except NodeLost as lost:
        why = str(lost)
        raise SpecError(f"The node {place.ip} was lost before the load began.", why=why, then="run it again") from None


def _prepare(place: Place, sent: bytes, where: dict[str, Any]) -> None:
    place.call("unpack", sent, seconds=60)
    code, out, err = place.call("ask", "llm_magics.load.on_node", json.dumps(where), seconds=60)
    answer = json.loads(out.splitlines()[-1]) if code == 0 else {"missing": (err.strip().splitlines() or ["?"])[-1]}
    if missing := answer.get("missing"):
        raise SpecError(
            f"The load generator does not run on the node {place.ip}.", why=missing,
            then="pip install llm-magics in the Python of the cluster's nodes",
        )  # fmt: skip
    if why := answer.get("unreachable"):
        raise SpecError(
            f"The node {place.ip} cannot reach the server at {where['host']}:{where['port']}.", why=why,
            then="serve it where the nodes can reach it (%serve NAME --on ray), or bench from here: leave --on out",
        )  # fmt: skip
