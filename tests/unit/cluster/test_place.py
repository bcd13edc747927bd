"""A node that answers late, or never."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from llm_magics.cluster.place import NodeLost, Place
from llm_magics.cluster.session import Session


@pytest.mark.parametrize("there", [True, False])
def test_an_answer_that_is_late_is_waited_for_while_the_cluster_sees_the_node(there: bool) -> None:
    class Late(Exception):  # noqa: N818 - Ray's own is named so
        pass

    asked: list[str] = []

    class Ray:
        exceptions = SimpleNamespace(GetTimeoutError=Late, RayActorError=KeyError, RaySystemError=KeyError)

        def get(self, reference: str, timeout: float) -> str:
            asked.append(reference)
            if len(asked) < 3:
                raise Late
            return "said"

        def nodes(self) -> list[dict[str, object]]:
            return [{"NodeID": "n", "NodeManagerAddress": "", "Resources": {}, "Alive": there}]

    stay = Session.__new__(Session)
    stay.ray = Ray()
    place = Place.__new__(Place)
    place.session, place.id = stay, "n"
    if there:
        assert place._got("call", 0.1) == "said"
        assert asked == ["call"] * 3  # the same call: its answer holds rows that come once
    else:
        with pytest.raises(NodeLost, match="not answered"):
            place._got("call", 0.1)
