"""What is still to be sent, and to which point it counts: wrong here, and a load is another one than was asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from llm_magics.load.phase import Phase

S = 1_000_000_000
START = 50 * S


@pytest.fixture(autouse=True)
def running() -> Iterator[None]:
    """A phase belongs to the loop that runs it."""
    loop = asyncio.new_event_loop()
    asyncio.events._set_running_loop(loop)
    yield
    asyncio.events._set_running_loop(None)
    loop.close()


def closed(**more: Any) -> Phase:
    step = {"point": 3, "repeat": 1, "streams": 2, "starts": [0.0, 0.5], "requests": None, "duration": None, **more}
    return Phase.of(step, START)


def rated(times: list[float], **more: Any) -> Phase:
    return Phase.of({"point": 0, "repeat": 0, "times": times, "requests": len(times), "duration": 9.0, **more}, START)


def test_a_count_ends_a_closed_loop() -> None:
    phase = closed(requests=3)
    assert phase.starts == [START, START + S // 2]
    phase.cursor, phase.left = 2, 1
    assert phase.more(START + 900 * S)
    phase.left = 0
    assert not phase.more(START)
    assert phase.sent


def test_a_time_ends_a_closed_loop_and_not_a_rate() -> None:
    phase = closed(duration=4.0)
    assert phase.more(START + 4 * S - 1)
    assert not phase.more(START + 4 * S)
    late = rated([0.0, 20.0])
    assert late.more(START + 20 * S), "what is due is sent, however late: an open loop skips nothing"


def test_streams_end_one_by_one() -> None:
    phase = closed(stops=[1.0, 2.0], duration=9.0)
    phase.cursor = 2
    assert phase.room(START, 1)
    assert not phase.room(START, 2)
    assert not phase.room(START + S, 1)
    phase.resting = 1
    assert not phase.room(START + S - 1, 1), "a stream that rests has its place"
    phase.resting = 0
    assert not phase.room(START + 2 * S, 0)


def test_a_request_belongs_to_the_point_it_was_intended_in() -> None:
    parts = [{"point": 4, "start": 0.0}, {"point": 5, "start": 2.0}, {"point": 6, "start": 3.0}]
    phase = rated([0.0, 1.9, 2.0], parts=parts)
    assert [phase.point(START + round(when * S)) for when in (0, 1.999, 2, 2.5, 3, 99)] == [4, 4, 5, 5, 6, 6]
    phase.part_ends = {4: START + 7 * S, 5: START + 2 * S}
    windows = list(phase.windows(START + 6 * S))
    assert windows == [
        (4, START, START + 6 * S),  # its last answer came while the next were under way
        (5, START + 2 * S, START + 3 * S),
        (6, START + 3 * S, START + 6 * S),
    ]
    assert [point for point, _, _ in phase.windows(START + S)] == [4], "what was not reached is no point"
    assert list(closed().windows(START + S)) == [(3, START, START + S)]


def test_arrivals_ahead_are_counted_up_to_a_limit() -> None:
    phase = rated([0.0, 0.01, 0.02, 5.0])
    assert phase.upcoming(START - 1, 64) == 0
    assert phase.upcoming(START + S // 100, 64) == 2
    assert phase.upcoming(START + S, 2) == 2
    phase.cursor = 2
    assert phase.upcoming(START + S, 64) == 1
    phase.cursor = 4
    assert phase.upcoming(START + 99 * S, 64) == 0


def test_answers_have_so_long_after_the_last_arrival() -> None:
    phase = rated([0.0, 100.0])
    assert phase.draining(START, None) is None, "arrivals are still to come"
    phase.cursor = 2
    assert phase.draining(START + 100 * S, None) == 200.0
    assert phase.draining(START + 130 * S, 40.0) == 10.0
    assert phase.draining(START + 900 * S, 40.0) == 0.0
    short = rated([0.0, 1.0])
    short.cursor = 2
    assert short.draining(START + S, None) == 60.0
    assert closed().draining(START, None) is None


@pytest.mark.parametrize(
    ("over", "error", "done", "goes_on"),
    [
        (False, None, 1, True),
        (True, None, 1, False),
        (False, "HTTP 500", 1, False),
        (False, None, 4, False),
    ],
)
def test_conversations_go_on(over: bool, error: str | None, done: int, goes_on: bool) -> None:
    talk: Any = SimpleNamespace(over=over)
    reply: Any = SimpleNamespace(error=error, done=START + done * S)
    assert closed(duration=4.0).goes_on(talk, reply) is goes_on
    assert rated([0.0]).goes_on(talk, reply) is (not over and error is None), "a rate's conversation is not cut"
    step = {"point": 3, "repeat": 1, "stagger": 0.25, "warmup": 5}
    warm = Phase.before(step, START, 2)
    assert (warm.starts, warm.left) == ([START, START + S // 4], 5)
    assert not warm.goes_on(talk, reply)
