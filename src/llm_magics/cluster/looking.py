"""Finds a node for a server: reads the question on stdin, answers with the place on stdout. Nothing stays."""

from __future__ import annotations

import json
import sys
from typing import Any

from llm_magics.cluster import parcel
from llm_magics.cluster.place import NodeLost, Place
from llm_magics.cluster.session import PLACE, Session, room
from llm_magics.errors import SpecError


def look(session: Session, question: dict[str, Any]) -> dict[str, Any]:
    """The first node with room that has the engine and sees the files.

    Raises
    ------
    SpecError
        When there is none; it says what each node lacks.
    """
    nodes = session.nodes()
    cpus, gpus, across = wanted(nodes, question)
    question = {**question, "across": across}
    sent, lacking, patience = parcel.pack(), list[str](), PLACE
    for node in _with_gpus(nodes) if across else [None] * len(nodes):
        place = session.ask_for(cpus, gpus, node)
        arrived = session.wait_for([place], patience)
        patience = PLACE / 3  # what the others hold they have had that long to give back
        if not arrived:
            session.give_back(place)
            if node is None:
                break
            continue
        found = _examined(place, sent, question)
        if "lacks" not in found:
            return {"node": place.id, "ip": place.ip, **found, "cpus": cpus, "gpus": gpus, "across": across}
        lacking.append(f"{place.ip}: {found['lacks']}")  # it keeps its place meanwhile, so that others are asked
    if lacking:
        raise SpecError(
            f"No node of the cluster can run {question['title']} as asked.",
            why="\n".join(dict.fromkeys(lacking)),
            then=_remedy(lacking, question),
        )
    free = session.free()
    raise SpecError(
        f"No node of the cluster has {cpus} CPU{'' if cpus == 1 else 's'}"
        f"{f' and {gpus} GPU' if gpus else ''} free (waited for {PLACE:g} s).",
        why=f"free in all: {free.get('CPU', 0):g} CPU, {free.get('GPU', 0):g} GPU; nodes: {room(nodes)}",
        then="stop what holds them (%llm list, ray status), or ask for less: num_cpus:, gpus:",
    )


def wanted(nodes: list[dict[str, Any]], question: dict[str, Any]) -> tuple[int, int, bool]:
    """CPUs and GPUs of the place, and whether the GPUs are on several nodes.

    Raises
    ------
    SpecError
        When the cluster has not got them at all.
    """
    each = [int(node["resources"].get("GPU", 0)) for node in nodes]
    gpus = question["gpus"] if question["gpus"] is not None else min(1, max(each, default=0))
    cpus = int(question["cpus"])
    if gpus > sum(each) or (gpus > max(each, default=0) and not question["spread"]):
        where = "The cluster" if gpus > sum(each) else "A single node of the cluster"
        raise SpecError(
            f"{where} has not the {gpus} GPU{'' if gpus == 1 else 's'} that were asked for.",
            why=room(nodes),
            then="ask for fewer (tensor_parallel_size:, gpus: none for the CPUs)"
            + ("" if question["spread"] else "; vLLM can use GPUs of several nodes"),
        )
    if all(node["resources"].get("CPU", 0) < cpus for node in nodes):
        raise SpecError(f"No node of the cluster has {cpus} CPUs.", why=room(nodes), then="lower num_cpus:")
    across = gpus > max(each, default=0)
    return cpus, 0 if across else gpus, across


def _with_gpus(nodes: list[dict[str, Any]]) -> list[str]:
    """Nodes that have GPUs, those with most first: where they are several nodes' the engine is beside some of them."""
    having = [each for each in nodes if each["resources"].get("GPU", 0) >= 1]
    return [each["id"] for each in sorted(having, key=lambda each: -each["resources"]["GPU"])]


def _examined(place: Place, sent: bytes, question: dict[str, Any]) -> dict[str, Any]:
    try:
        place.call("unpack", sent, seconds=60)
        code, out, err = place.call("ask", "llm_magics.engines.on_node", json.dumps(question), seconds=150)
        place.call("clear")
    except NodeLost as lost:
        return {"lacks": f"was lost while it was asked ({lost})"}
    if code != 0:
        return {"lacks": (err.strip().splitlines() or ["asking it failed"])[-1]}
    answer: dict[str, Any] = json.loads(out.splitlines()[-1])
    return answer


def _remedy(lacking: list[str], question: dict[str, Any]) -> str:
    if any("does not see" in each for each in lacking):
        return "put the model on a disk that the nodes share, at the same path, or give a hub id"
    return f"install it on the nodes ({question['hint']}), or name where it is there: --python PATH"


def main() -> None:
    """Answer the question on stdin."""
    question = json.load(sys.stdin)
    with Session(question["on"]) as session:
        print(json.dumps(look(session, question)))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
