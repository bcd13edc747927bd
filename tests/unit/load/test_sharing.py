"""Several workers make together what one alone would make: the same requests at the same times, each exactly once."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_magics.load.progress import together
from llm_magics.load.prompts import Made
from llm_magics.load.sharing import CHUNKS, most_workers, share, workers_for
from llm_magics.load.stock import Stock


class Numbers:
    """A recipe whose requests are their own numbers."""

    stride = 1

    def request(self, step: int, index: int) -> Made:
        return Made(b"%d/%d" % (step, index), 8)


def taken(step: dict[str, Any], worker: int, workers: int) -> list[tuple[int, bytes]]:
    part = share(step, worker, workers)
    stock = Stock(Numbers(), 3, None, (worker, workers))  # type: ignore[arg-type]
    stock.fill(0.001)
    took = [stock.take() for _ in range(part["warmup"] + part["requests"])]
    return [(number, made.payload) for number, made in took]


@settings(deadline=None)
@given(st.integers(0, 5), st.integers(1, 40), st.integers(1, 6))
def test_every_request_is_made_once(warmup: int, requests: int, workers: int) -> None:
    step = {"warmup": warmup, "requests": requests, "streams": 6, "stagger": 0.1, "starts": [], "stops": []}
    made = sorted(each for worker in range(workers) for each in taken(step, worker, workers))
    assert made == [(number, b"3/%d" % number) for number in range(warmup + requests)]


@given(st.integers(0, 5), st.integers(1, 40), st.integers(1, 6))
def test_every_request_of_a_rate_keeps_its_time(warmup: int, requests: int, workers: int) -> None:
    times = [number / 7 for number in range(requests)]
    step = {"warmup": warmup, "requests": requests, "times": times, "connections": 1, "stagger": 0.0}
    found = {}
    for worker in range(workers):
        part = share(step, worker, workers)
        assert part["requests"] == len(part["times"])
        mine = taken(step, worker, workers)[part["warmup"] :]
        found |= {number: time for (number, _), time in zip(mine, part["times"], strict=True)}
    assert found == {warmup + number: time for number, time in enumerate(times)}


def test_streams_start_one_after_the_other() -> None:
    step = {"warmup": 0, "requests": None, "streams": 5, "stagger": 0.1}
    step |= {"starts": [0.0, 0.1, 0.2, 0.3, 0.4], "stops": [1.0, 2.0, 3.0]}
    parts = [share(step, worker, 2) for worker in range(2)]
    assert sorted(when for part in parts for when in part["starts"]) == step["starts"]
    assert sorted(when for part in parts for when in part["stops"]) == step["stops"]
    assert all(len(part["starts"]) > len(part["stops"]) for part in parts)


def test_one_worker_has_the_whole_step() -> None:
    step = {"warmup": 1, "requests": 5, "streams": 2, "stagger": 0.1}
    assert share(step, 0, 1) is step


@pytest.mark.parametrize(
    ("cores", "local", "workers"), [(1, True, 1), (2, True, 1), (8, True, 3), (4, False, 3), (2, False, 1)]
)
def test_as_many_as_needed_and_spared(monkeypatch: pytest.MonkeyPatch, cores: int, local: bool, workers: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    many = {"streams": 3 * CHUNKS // 100, "requests": None}
    few = {"streams": 16, "requests": None}
    assert workers_for([few, many], 128, local=local) == workers
    assert workers_for([few], 128, local=local) == 1


def test_a_rate_needs_as_many_as_its_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    step = {"times": [number / 1_000 for number in range(60_001)], "requests": 60_001}
    assert workers_for([step], 20, local=True) == 1
    assert workers_for([step], 120, local=True) == 3


def test_no_worker_is_without_work() -> None:
    assert most_workers([{"streams": 4, "requests": 100}, {"streams": 8, "requests": None}]) == 4
    assert most_workers([{"times": [0.0, 1.0], "requests": 2}]) == 2


def test_progress_of_all_is_their_sum() -> None:
    one = {
        "step": 1,
        "done": 2,
        "errors": 0,
        "in_flight": 3,
        "tokens_per_s": 5.0,
        "ttft": 0.1,
        "fresh": 1,
        "draining": None,
    }
    other = {
        "step": 0,
        "done": 4,
        "errors": 1,
        "in_flight": 1,
        "tokens_per_s": 1.0,
        "ttft": 0.4,
        "fresh": 2,
        "draining": 3.0,
    }
    assert together([one, other]) == {
        "step": 0, "done": 6, "errors": 1, "in_flight": 4, "tokens_per_s": 6.0, "ttft": pytest.approx(0.3),
        "draining": 3.0,
    }  # fmt: skip
    quiet = {**one, "ttft": None, "fresh": 0}
    assert together([quiet, quiet])["ttft"] is None
