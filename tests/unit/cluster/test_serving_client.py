"""What comes out of the client of an engine on a node: the supervisor reads lines, and acts on ours."""

from __future__ import annotations

import re

import pytest

from llm_magics.cluster.serving import Voice
from llm_magics.engines.cluster_messages import FAILURES, LISTENS


@pytest.fixture
def voice() -> Voice:
    return Voice()


def test_our_line_is_one_though_the_engine_s_is_only_half_there(
    voice: Voice, capfd: pytest.CaptureFixture[str]
) -> None:
    """An answer of the node may end within a line; the server would never be ready if ours began there."""
    voice.engine(b"loading\n0.00.086 I srv")
    voice.say("the engine listens on 127.0.0.2:8000")
    voice.engine(b" load_model: done\n")
    lines = capfd.readouterr().out.splitlines()
    assert lines == ["loading", f"{LISTENS} 127.0.0.2:8000", "0.00.086 I srv load_model: done"]


def test_a_line_that_does_not_end_is_seen_too_and_ours_still_begins_one(
    voice: Voice, capfd: pytest.CaptureFixture[str]
) -> None:
    voice.engine(b"10 %")
    voice.engine(b"")  # nothing new: it is shown as it is
    assert capfd.readouterr().out == "10 %"
    voice.complain("node lost: 127.0.0.2", "the node\nis gone", "start it again")
    line = capfd.readouterr().out.splitlines()[-1]
    assert any(re.search(each.pattern, line) for each in FAILURES)
