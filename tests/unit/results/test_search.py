"""Searches against servers whose capacity is known: the answer is right, the budget is kept, the words are true."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from queueing import Batch, Queue

from llm_magics.results.overload import Overload
from llm_magics.results.probe import Probe
from llm_magics.results.search import Search
from llm_magics.results.searcher import Plan, Searcher, needed

START_UP = 0.6  # s that a probe costs beside its load


def search(server: Queue | Batch, plan: Plan) -> tuple[Search, Searcher]:
    """As `api.searching` does it, on the simulated clock."""
    searcher = Searcher(plan)
    while (load := searcher.next()) is not None:
        seconds = searcher.seconds(load)
        if server.clock + seconds + START_UP > plan.budget:
            searcher.why = "budget"
            break
        searcher.add(server.probe(load, seconds))
        server.clock += START_UP
    return Search.of(searcher, {"e2e": getattr(server, "limit", 1.0)}, server.clock), searcher


def test_the_highest_rate_within_the_slo_is_found_within_the_budget() -> None:
    errors = []
    for seed in range(20):
        server = Queue(mu=50, limit=0.25, seed=seed)  # capacity 50 - 12 = 38 req/s at 95 %
        found, _ = search(server, Plan("slo", "rate", share=0.95, budget=120, start=2, limit=0.25))
        assert found.answer is not None
        assert server.clock <= 120 + 15
        errors.append(found.answer / server.capacity(0.95) - 1)
    assert abs(float(np.median(errors))) < 0.10
    assert float(np.mean(np.abs(errors) < 0.25)) >= 0.9


def test_a_rate_that_the_server_keeps_up_with_is_found() -> None:
    answers = []
    for seed in range(10):
        server = Queue(mu=40, limit=1.0, seed=seed)
        found, _ = search(server, Plan("saturation", "rate", budget=120, start=1))
        answers.append(found.answer or 0.0)
    assert 34 < float(np.median(answers)) < 44


def test_the_streams_that_saturate_are_the_fewest_near_the_plateau_and_the_knee_lies_below() -> None:
    server = Batch(a=0.1, b=0.01, slots=32)
    found, _ = search(server, Plan("saturation", "concurrency", budget=120))
    assert found.answer is not None
    best = server.throughput(1e9)
    assert server.throughput(found.answer) > 0.92 * best
    assert found.answer <= 34
    # power n / (a + b n)² is highest at n = a / b
    assert found.knee is not None
    assert found.knee <= 16
    assert found.why == "found"
    assert str(found).startswith(f"Saturates at {found.answer:g} streams")


@pytest.mark.parametrize("cut", [{"unanswered": 90}, {"overloaded": "requests in flight grew"}])
def test_a_load_that_left_requests_unanswered_is_no_knee(cut: dict[str, Any]) -> None:
    searcher = Searcher(Plan("saturation", "rate"))
    for load, seconds in ((1, 0.5), (2, 0.5), (4, 0.8)):
        searcher.add(Probe(load, 100, throughput=load, latency=seconds, seconds=5))
    searcher.add(Probe(8, 100, throughput=6, latency=0.1, seconds=5, **cut))  # it refuses, and is quick with the rest
    assert Search.of(searcher, {}, 20).knee == 4
    assert [each.load for each in searcher.probes if each.holds] == [1, 2, 4]
    only = Searcher(Plan("saturation", "rate"))
    for load in (1, 2, 4):
        only.add(Probe(load, 100, throughput=load, latency=0.1, seconds=5, **cut))
    assert Search.of(only, {}, 20).knee is None


def test_what_was_lost_once_stays_lost_when_a_load_is_measured_again() -> None:
    searcher = Searcher(Plan("slo", "rate"))
    for lost in (3, 0):
        searcher.add(Probe(4, 100, 97, throughput=4, latency=0.1, seconds=5, unanswered=lost))
    (probe,) = searcher.probes
    assert (probe.unanswered, probe.whole) == (3, False)


def test_streams_within_an_slo_end_between_whole_numbers() -> None:
    def probe(load: float) -> Probe:
        return Probe(load, 200, 200 if load <= 11 else 0, throughput=load, latency=1.0, seconds=5)

    searcher = Searcher(Plan("slo", "concurrency", share=0.95, start=1))
    tried = []
    while (load := searcher.next()) is not None:
        tried.append(load)
        searcher.add(probe(load))
    assert tried[:5] == [1, 2, 4, 8, 16]
    found = Search.of(searcher, {"ttft": 0.5, "tpot": 0.05}, 60)
    assert (found.answer, found.above, found.sure) == (11, 12, True)
    assert str(found) == "Holds 11 streams with 95 % of requests within ttft 500 ms, tpot 50 ms; 12 does not."


def test_what_fails_at_once_is_halved_and_the_lowest_bound_ends_it() -> None:
    searcher = Searcher(Plan("slo", "rate", start=8, lowest=1))
    tried = []
    while (load := searcher.next()) is not None:
        tried.append(load)
        searcher.add(Probe(load, 200, 0, throughput=load, latency=1.0, seconds=5))
    assert tried == [8, 4, 2, 1]
    found = Search.of(searcher, {"ttft": 0.1}, 20)
    assert (found.answer, found.why) == (None, "lowest")
    assert str(found).startswith("Does not hold 1 req/s with 95 %")


def test_the_highest_bound_ends_it_and_is_said() -> None:
    searcher = Searcher(Plan("slo", "rate", start=1, highest=6))
    while (load := searcher.next()) is not None:
        searcher.add(Probe(load, 300, 300, throughput=load, latency=0.1, seconds=5))
    found = Search.of(searcher, {"ttft": 0.1}, 20)
    assert (found.answer, found.above, found.why) == (6, None, "highest")
    assert "there may be more" in str(found)


def test_an_unclear_load_is_measured_again_and_pooled() -> None:
    searcher = Searcher(Plan("slo", "rate", share=0.9, start=4))
    searcher.add(Probe(4, 100, 100, throughput=4, latency=0.1, seconds=5))
    searcher.add(Probe(8, 30, 26, throughput=8, latency=0.1, seconds=5))  # 87 %: neither clear
    assert searcher.next() == 8
    searcher.add(Probe(8, 30, 20, throughput=8, latency=0.1, seconds=5))
    assert searcher.next() == pytest.approx(5.66)
    assert [(each.load, each.requests, each.good, each.tries) for each in searcher.probes][1] == (8, 60, 46, 2)


def test_dependent_requests_count_for_fewer() -> None:
    searcher = Searcher(Plan("slo", "rate", share=0.9, start=4))
    searcher.add(Probe(4, 100, 95, throughput=4, seconds=5))
    alone = searcher.probes[0]
    searcher = Searcher(Plan("slo", "rate", share=0.9, start=4))
    searcher.add(Probe(4, 100, 95, throughput=4, seconds=5, tau=10))
    assert alone.sure is False or searcher.probes[0].sure is False
    assert searcher.probes[0].low < alone.low  # type: ignore[operator]


def test_an_overloaded_probe_holds_nothing_whatever_it_answered() -> None:
    searcher = Searcher(Plan("slo", "rate", start=4))
    searcher.add(Probe(4, 50, 50, throughput=3, seconds=3, overloaded="it fell behind"))
    assert searcher.next() == 2


def test_a_probe_that_was_cut_holds_nothing_but_may_fail() -> None:
    """Its slow requests were still on their way: the quick ones met the SLO, at a load that nobody can keep."""
    searcher = Searcher(Plan("slo", "rate", start=1, limit=1))
    searcher.add(Probe(16, 100, 100))
    searcher.add(Probe(32, 40, 40, cut=True))
    searcher.add(Probe(64, 100, 5, cut=True))
    held, cut, failed = searcher.probes
    assert (held.holds, held.sure) == (True, True)
    assert (cut.holds, cut.sure) == (False, False)
    assert (failed.holds, failed.sure) == (False, True)
    assert Search.of(searcher, {"e2e": 1.0}, 10).answer == 16
    searcher.add(Probe(16, 3, 0, cut=True))
    assert searcher.probes[0] == held, "beside what was measured whole it says nothing"


def test_it_survives_json() -> None:
    found, _ = search(Queue(mu=20, limit=0.5), Plan("slo", "rate", share=0.9, budget=60, start=1))
    assert Search.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_as_many_requests_as_make_a_share_clear() -> None:
    from llm_magics.results.statistics import wilson

    for share in (0.9, 0.95, 0.99):
        n = needed(share)
        assert wilson(n, n, level=0.90)[0] >= share > wilson(n - 2, n - 2, level=0.90)[0]


def test_overload_is_seen_early_and_a_steady_server_is_not_accused() -> None:
    accused = sum(bool(Queue(mu=40, limit=1, seed=seed).probe(28, 15).overloaded) for seed in range(40))
    assert accused <= 2  # at 70 % of the capacity
    ends = [Queue(mu=40, limit=1, seed=seed).probe(80, 15) for seed in range(20)]
    assert all(each.overloaded for each in ends)
    assert float(np.median([each.seconds for each in ends])) < 6


def test_a_full_closed_server_is_no_overload() -> None:
    watch = Overload(10, 0.1)
    assert not any(watch.add(0.25 * n, 8, 3 * n, 0.2) for n in range(1, 60))
