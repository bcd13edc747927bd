"""What our client on a Ray cluster says (`cluster.serving`): how far it is, and why an engine there failed.

Its failures bring their own words: `ray: WHAT [WHY] -> WHAT TO DO`.
"""

from __future__ import annotations

from llm_magics.engines.facts import Failure, Stage

# What the supervisor acts on.
LISTENS = "ray: the engine listens on"
TAKEN = "ray: the port is taken on the node:"

STAGES: tuple[Stage, ...] = (Stage(r"^ray: (connecting to|waiting for|sending what|starting the)(.*)", "{0}{1}"),)
FAILURES: tuple[Failure, ...] = (
    Failure(r"^ray: (.+?) \[(.*)\] -> (.+)$", "{0}", "{2}"),
    Failure(
        r"^ray: the port is taken on the node: (\d+)",
        "port {0} is taken on the node",
        "leave port: out so that a free one is chosen",
    ),
)
