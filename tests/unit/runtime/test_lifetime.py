"""When a server's time is over: owners, grace, idleness. The clock is a number here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from llm_magics.runtime import identity
from llm_magics.runtime.lifetime import IDLE, ORPHANED, Lifetime, Verdict, orphaned
from llm_magics.runtime.record import Record

ALIVE = {**identity.current().to_json(), "kernel_id": "here"}
DEAD = {**identity.current().to_json(), "ticks": 1, "kernel_id": "gone"}
DEAD_SHELL = {**identity.current().to_json(), "ticks": 1}


def record(**changes: Any) -> Record:
    return Record(
        **{
            "name": "s", "engine": "e", "model": "m", "state": "ready", "created": 0.0, "host": "h", "reuse_key": "k",
            "spec": {}, "supervisor": {}, "keep": "kernel", "grace": 600.0, **changes,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("keep", "owners", "expected"),
    [
        ("kernel", [ALIVE], False),
        ("kernel", [DEAD, ALIVE], False),
        ("kernel", [DEAD], True),
        ("kernel", [], True),
        ("kernel", [{"nonsense": 1}], True),
        ("cell", [DEAD], True),
        ("detached", [DEAD], False),
        ("detached", [], False),
    ],
)
def test_who_is_an_orphan(keep: str, owners: list[dict[str, Any]], expected: bool) -> None:
    assert orphaned(record(keep=keep, owners=owners)) is expected


def test_an_owned_server_lives_for_ever() -> None:
    life = Lifetime()
    assert life.judge(record(owners=[ALIVE]), 0.0) == Verdict()
    assert life.judge(record(owners=[ALIVE]), 1e9) == Verdict()


def test_an_orphan_has_its_grace_and_adoption_starts_it_anew() -> None:
    life, orphan = Lifetime(), record(owners=[DEAD])
    assert life.judge(orphan, 100.0) == Verdict(stops_in=600.0, why=ORPHANED)
    assert life.judge(orphan, 500.0) == Verdict(stops_in=200.0, why=ORPHANED)
    assert life.judge(replace(orphan, owners=[ALIVE]), 690.0) == Verdict()
    assert life.judge(orphan, 700.0) == Verdict(stops_in=600.0, why=ORPHANED)
    assert life.judge(orphan, 1300.0) == Verdict(stop=True, why=ORPHANED)


@pytest.mark.parametrize(
    ("owners", "why"),
    [
        ([DEAD], "its notebook ended"),
        ([{**DEAD_SHELL, "notebook": "n.ipynb"}], "its notebook ended"),
        ([DEAD_SHELL], "its shell or script ended"),
        ([DEAD_SHELL, DEAD], "its notebook ended"),
        ([], "its notebook ended"),
    ],
)
def test_a_shell_that_ended_is_not_called_a_notebook(owners: list[dict[str, Any]], why: str) -> None:
    assert Lifetime().judge(record(owners=owners), 0.0).why == why


def test_a_server_of_a_cell_has_no_grace() -> None:
    assert Lifetime().judge(record(keep="cell", owners=[DEAD]), 5.0) == Verdict(stop=True, why=ORPHANED)


def test_an_idle_server_is_announced_at_half_time_and_activity_starts_it_anew() -> None:
    life, server = Lifetime(), record(keep="detached", idle=60.0)
    assert life.judge(server, 0.0) == Verdict()  # not ready yet: nothing to be idle
    life.active(0.0)
    assert life.judge(server, 29.0) == Verdict()
    assert life.judge(server, 40.0) == Verdict(stops_in=20.0, why=IDLE)
    life.active(50.0)
    assert life.judge(server, 79.0) == Verdict()
    assert life.judge(server, 110.0) == Verdict(stop=True, why=IDLE)


def test_of_two_ends_the_nearer_one_counts() -> None:
    life, server = Lifetime(), record(owners=[DEAD], grace=100.0, idle=30.0)
    life.active(0.0)
    assert life.judge(server, 20.0) == Verdict(stops_in=10.0, why=IDLE)
    assert life.judge(server, 30.0) == Verdict(stop=True, why=IDLE)
    life.active(100.0)
    assert life.judge(server, 110.0) == Verdict(stops_in=10.0, why=ORPHANED)
