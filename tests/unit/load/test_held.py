"""The achieved concurrency: what is compared with the asked one, and turns a verdict red."""

from __future__ import annotations

import pytest

from llm_magics.load import held
from llm_magics.load.held import Held


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    now = [0]
    monkeypatch.setattr(held, "_clock", lambda: now[0])
    return now


def test_the_ramp_and_what_trails_out_are_no_load(clock: list[int]) -> None:
    seen = Held(0)
    for at, flying in ((10, 0), (20, 1), (30, 2)):  # three streams start, one after another
        clock[0] = at
        seen.note(flying, sending=True)
    assert (seen.begun, seen.mean) == (False, 0.0)
    seen.begin(3)
    clock[0] = 130
    seen.note(3, sending=True)
    assert seen.mean == 3.0
    clock[0] = 1130
    seen.note(1)  # it ends, nothing more is sent
    assert seen.mean == 3.0


def test_of_a_rate_all_counts_from_the_start(clock: list[int]) -> None:
    seen = Held(100, begun=True)
    clock[0] = 150
    seen.note(0, sending=True)
    clock[0] = 200
    seen.note(4, sending=True)
    assert seen.mean == 2.0
