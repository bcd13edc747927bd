"""Putting off a stop: the promise stands in the record, the supervisor's rules hold it, nothing else changes."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm_magics.errors import LLMMagicsError
from llm_magics.runtime import identity
from llm_magics.runtime.keep import LONGEST, keep
from llm_magics.runtime.lifetime import IDLE, KEPT, ORPHANED, Lifetime, Verdict
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry


def record(**changes: Any) -> Record:
    return Record(
        **{
            "id": "1", "name": "s", "engine": "e", "model": "m", "state": "ready", "created": 1.0, "host": "h",
            "reuse_key": "k", "spec": {}, "supervisor": identity.current().to_json(), **changes,
        }
    )  # fmt: skip


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path)


def test_a_promise_is_written_and_never_shortened(registry: Registry) -> None:
    registry.write(record())
    first = keep("s", 3600, registry=registry)
    assert first.keep_until == pytest.approx(time.time() + 3600, abs=30)
    assert keep("s", 60, registry=registry) == first
    assert replace(first, keep_until=None) == record()


@pytest.mark.parametrize("seconds", [0, -1, LONGEST + 1, float("nan"), float("inf")])
def test_times_out_of_bounds_are_refused(registry: Registry, seconds: float) -> None:
    registry.write(record())
    with pytest.raises(LLMMagicsError, match="cannot be kept"):
        keep("s", seconds, registry=registry)


@pytest.mark.parametrize("state", ["stopped", "failed"])
def test_what_does_not_run_cannot_be_kept(registry: Registry, state: Any) -> None:
    registry.write(record(state=state))
    with pytest.raises(LLMMagicsError, match=f"s is {state}"):
        keep("s", 60, registry=registry)
    with pytest.raises(LLMMagicsError, match="no server 'other'"):
        keep("other", 60, registry=registry)


def test_a_kept_server_outlives_idleness_and_then_ends() -> None:
    life = Lifetime()
    life.active(0.0)
    idle = record(keep="detached", idle=10.0, keep_until=1100.0)
    assert life.judge(idle, 6.0, wall=1006.0) == Verdict(stops_in=94.0, why=KEPT)
    assert life.judge(idle, 12.0, wall=1012.0) == Verdict(stops_in=88.0, why=KEPT)
    assert life.judge(idle, 101.0, wall=1101.0) == Verdict(stop=True, why=IDLE)


def test_a_kept_server_outlives_its_notebook() -> None:
    orphan = record(keep="kernel", grace=5.0, owners=[], keep_until=1100.0)
    life = Lifetime()
    life.judge(orphan, 0.0, wall=1000.0)
    assert life.judge(orphan, 6.0, wall=1006.0) == Verdict(stops_in=94.0, why=KEPT)
    assert life.judge(orphan, 101.0, wall=1101.0) == Verdict(stop=True, why=ORPHANED)


def test_a_promise_that_ends_before_the_planned_time_changes_nothing() -> None:
    life = Lifetime()
    life.active(0.0)
    idle = record(keep="detached", idle=10.0, keep_until=1001.0)
    assert life.judge(idle, 6.0, wall=1006.0) == Verdict(stops_in=4.0, why=IDLE)


def test_a_stop_that_was_announced_is_put_off_in_the_record_at_once(registry: Registry) -> None:
    registry.write(record(stops_at=time.time() + 30.0, stops_why=IDLE))
    kept = keep("s", 3600, registry=registry)
    assert (kept.stops_at, kept.stops_why) == (kept.keep_until, KEPT)
    registry.write(record(stops_at=time.time() + 7200.0, stops_why=IDLE))
    assert keep("s", 3600, registry=registry).stops_why == IDLE
