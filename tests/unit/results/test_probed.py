"""From short runs to probes, and from all of them to one run."""

from __future__ import annotations

import pytest
from synthetic import synthetic_run

from llm_magics.results.columns import CANCELLED
from llm_magics.results.probed import joined, probe_of
from llm_magics.results.run_rows import row_of
from llm_magics.results.search import Search
from llm_magics.results.searcher import Plan, Searcher
from llm_magics.views.headline import of_run
from llm_magics.views.run_tables import points


def test_a_probe_counts_the_requests_under_load() -> None:
    run = synthetic_run(concurrency=[8], requests=200, ttft=0.05, tpot=0.01, noise=0, slo={"ttft": 0.1})
    probe = probe_of(run, 8, seconds=3)
    assert probe.good == probe.requests
    assert 170 < probe.requests < 200  # not the first of each stream, not those of the drain
    assert probe.throughput == pytest.approx(8 / (0.05 + 63 * 0.01), rel=0.03)
    assert probe.tokens == pytest.approx(64 * probe.throughput, rel=0.01)
    late = synthetic_run(concurrency=[8], requests=200, ttft=0.2, slo={"ttft": 0.1})
    assert probe_of(late, 8, seconds=3).good == 0


def test_what_a_probe_gave_up_on_has_missed_its_slo_in_table_and_chart() -> None:
    run = synthetic_run(rate=[20], requests=100, ttft=0.05, noise=0, slo={"ttft": 0.1}, status="cancelled")
    run.columns.status[60:] = CANCELLED
    cut, lost = (probe_of(run, 20, seconds=5, overloaded=why) for why in ("", "requests in flight grew"))
    assert cut.good == cut.requests == lost.good < lost.requests - 30
    assert cut.whole
    assert (lost.unanswered, lost.whole) == (int((run.at(0).status == CANCELLED).sum()), False)
    searcher = Searcher(Plan("slo", "rate", start=20))
    searcher.add(lost)
    found = Search.of(searcher, {"ttft": 0.1}, 5)
    whole = joined([(20.0, 0.0, run)], {"workload": run.workload, "search": found.to_json()}, "complete")
    assert whole.points[0]["goodput"] == found.probes[0].goodput == lost.good / lost.requests
    text = str(points(whole))
    assert "Unanswered" in text
    assert "many got no answer: 20 req/s" in text
    assert f"{len(run.measured)} requests ({whole.points[0]['cancelled']} of them unanswered)" in of_run(whole)
    assert row_of(whole).requests == len(run.measured)


def test_a_rates_requests_in_flight_are_followed() -> None:
    steady = synthetic_run(rate=[20], requests=400, noise=0)
    assert abs(probe_of(steady, 20, seconds=20).growth) < 3


def test_all_probes_are_one_run_in_ascending_order_on_one_clock() -> None:
    parts = []
    for began, load in ((0.0, 2.0), (30.0, 8.0), (60.0, 4.0), (90.0, 8.0)):
        parts.append((load, began, synthetic_run(rate=[load], requests=40, slo={"ttft": 0.1}, seed=int(began))))
    searcher = Searcher(Plan("slo", "rate", start=2))
    for load, _, run in parts:
        searcher.add(probe_of(run, load, seconds=20))
    found = Search.of(searcher, {"ttft": 0.1}, 110)
    run = joined(parts, {"name": "tiny", "workload": parts[0][2].workload, "search": found.to_json()}, "complete")
    assert [point["label"] for point in run.points] == ["2 req/s", "4 req/s", "8 req/s"]
    assert [point["completed"] for point in run.points] == [40, 40, 80]
    assert run.points[2]["repeats"] == 2
    first = run.at(2, repeat=0)
    assert float(first.intended.min()) >= 30
    assert float(run.at(1).intended.min()) >= 60
    assert {window.repeat for window in run.windows if window.point == 2} == {0, 1}
    assert run.search == found
    assert run.server_samples[-1].t > 90
