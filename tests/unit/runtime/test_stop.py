"""Why a server ended, written by who stops it because its supervisor cannot."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from llm_magics.runtime import identity
from llm_magics.runtime.lifetime import ASKED, IDLE, KEPT, TIMED_OUT
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.runtime.stop import stop

KILLED = {**identity.current().to_json(), "ticks": 1}


@pytest.mark.parametrize(
    ("state", "said", "why"),
    [
        ("ready", KEPT, ASKED),
        ("ready", IDLE, ASKED),
        ("loading", "", ASKED),
        ("stopping", IDLE, IDLE),
        ("stopping", TIMED_OUT, TIMED_OUT),
    ],
)
def test_an_end_that_was_only_announced_is_not_what_a_server_ended_by(
    tmp_path: Path, state: Any, said: str, why: str
) -> None:
    registry = Registry(tmp_path)
    until = time.time() + 3600.0
    registry.write(
        Record(
            "s", "e", "m", state, 1.0, "h", "k", {}, KILLED, id="0f", stops_at=until if said else None, stops_why=said
        )
    )
    stop("s", registry=registry)
    ended = registry.read("s")
    assert ended is not None
    assert (ended.state, ended.stops_at, ended.stops_why) == ("stopped", None, why)
