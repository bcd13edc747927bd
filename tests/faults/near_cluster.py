"""`load.relay` on a cluster that is not there: its nodes are `cluster.node.Node` in this process, without Ray.

Everything but Ray itself is the real thing: parcels, workers, rows. `NEAR` in the environment scripts the nodes:
`{"skew": [s, s], "lose": {"1": s after it was first followed}, "gone": {"1": the method at which it is},
"closed": a port that refuses}`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from llm_magics.cluster.node import Node
from llm_magics.cluster.place import NodeLost
from llm_magics.errors import SpecError
from llm_magics.load import relay

SCRIPT = json.loads(os.environ["NEAR"])


class SkewedNode(Node):
    """A node whose clock is off by so many seconds."""

    def __init__(self, skew: float) -> None:
        super().__init__(lease=20.0)
        self.skew = round(skew * 1e9)

    def clock(self) -> int:
        return super().clock() + self.skew


class NearPlace:
    def __init__(self, number: int) -> None:
        self.number, self.node = number, SkewedNode(SCRIPT["skew"][number])
        self.id, self.ip = f"node-{number}", f"10.0.0.{number + 1}"
        self.lost_after = SCRIPT.get("lose", {}).get(str(number))
        self.followed: float | None = None

    def call(self, method: str, *words: Any, seconds: float = 0.0, **named: Any) -> Any:
        if method == "follow" and self.lost_after is not None:
            self.followed = self.followed or time.monotonic()
            if time.monotonic() - self.followed > self.lost_after:
                self.node.hush()  # what runs there must not outlive the test
                raise NodeLost("the actor died")
        if SCRIPT.get("gone", {}).get(str(self.number)) == method:
            raise NodeLost("the actor died")
        if method == "ask" and (closed := SCRIPT.get("closed")):  # a firewall: from here another port answers
            words = (words[0], json.dumps({**json.loads(words[1]), "port": closed}))
        return getattr(self.node, method)(*words, **named)

    def tell(self, method: str, *words: Any) -> None:
        self.call(method, *words)

    def why_lost(self, said: str) -> str:
        return "the node is gone"


class NearSession:
    def __init__(self, on: str) -> None:
        self.places = [NearPlace(number) for number in range(len(SCRIPT["skew"]))]
        self.left = list(self.places)

    def __enter__(self) -> NearSession:
        return self

    def __exit__(self, *_: object) -> None:
        for place in self.places:
            place.node.hush()

    def nodes(self) -> list[dict[str, Any]]:
        return [{"id": place.id, "ip": place.ip, "resources": {"CPU": 1.0}} for place in self.places]

    def free(self) -> dict[str, float]:
        return {"CPU": float(len(self.left))}

    def ask_for(self, cpus: float, gpus: float, node: str | None = None) -> NearPlace:
        return self.left.pop(0)

    def wait_for(self, places: list[NearPlace], *_: object) -> list[NearPlace]:
        return places

    def give_back(self, place: NearPlace) -> None:
        return


if __name__ == "__main__":
    relay.Session = NearSession  # type: ignore[assignment, misc]
    try:
        status = relay.main()
    except SpecError as error:
        sys.stderr.write(json.dumps({"what": error.what, "why": error.why, "then": error.then}) + "\n")
        status = 7
    sys.stderr.flush()
    os._exit(status)
