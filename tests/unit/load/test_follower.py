"""Progress of a run: what is expected follows from what is known, and never runs backwards past what has gone."""

from __future__ import annotations

from typing import Any

from llm_magics.load.progress import Follower


def line(step: int, done: int, **more: Any) -> dict[str, Any]:
    return {"step": step, "done": done, "errors": 0, "in_flight": 1, "ttft": None, "tokens_per_s": 0.0, **more}


def step(point: int, requests: int | None, **more: Any) -> dict[str, Any]:
    answers = None if requests is None else requests + 2
    return {
        "point": point,
        "repeat": 0,
        "warmup": 2,
        "requests": requests,
        "answers": answers,
        "duration": None,
        **more,
    }


def test_counts_and_labels() -> None:
    follower = Follower([step(0, 10), step(1, 10)], ["1 stream", "4 streams"])
    seen = follower.read(line(1, 14, errors=2, ttft=0.05))
    assert (seen.label, seen.point, seen.points, seen.total, seen.done, seen.errors) == ("4 streams", 1, 2, 24, 14, 2)
    assert seen.ttft == 0.05
    assert seen.warmup == 4


def test_nothing_is_expected_before_anything_is_known() -> None:
    assert Follower([step(0, 10)], ["a"]).read(line(0, 0)).expected is None


def test_a_closed_loop_is_expected_by_its_share() -> None:
    follower = Follower([step(0, 10)], ["a"])
    follower.began -= 4
    follower._step_began -= 4
    seen = follower.read(line(0, 3))
    assert seen.expected is not None
    assert 15.9 < seen.expected < 17


def test_a_timed_run_is_expected_by_its_clock() -> None:
    follower = Follower([step(0, None, duration=30.0), step(1, None, duration=30.0)], ["a", "b"])
    assert follower.read(line(0, 0)).expected == 60
    assert follower.total is None
