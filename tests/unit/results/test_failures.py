"""If these fail, a server is called better because the requests it answered, few of many, were quick."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import synthetic_run

from llm_magics.results.comparison import Comparison
from llm_magics.results.failures import two_proportions, unequal
from llm_magics.results.run import Run
from llm_magics.results.samples import sample


def failing(name: str, share: float, *, count: int = 3, took: float = 0.5, **server: float) -> list[Run]:
    """Rounds of a server that fails a share of its requests, anywhere in the run, each after `took` seconds."""
    runs = []
    for number in range(count):
        run = synthetic_run(
            name=name, seed=number + 100 * len(name), workload_seed=number, concurrency=[4], requests=100, **server
        )
        columns = run.columns
        failed = ~columns.warmup & (np.random.default_rng(number).permutation(len(columns)) < share * len(columns))
        columns.status[failed] = 1
        for times in (columns.first_token, columns.last_token, columns.first_byte):
            times[failed] = np.nan
        columns.done[failed] = columns.intended[failed] + took
        columns.output_tokens[failed] = -1
        runs.append(run)
    return runs


def test_survivors_of_a_failing_server_make_it_no_better() -> None:
    found = Comparison.of_runs({"good": failing("good", 0), "bad": failing("bad", 0.9, tpot=0.008)})
    assert found.verdict.headline.startswith("bad failed 90 % of its requests at 4 streams; good none. good is better")
    assert found.verdict.better == "good"
    latencies = [effect for effect in found.effects if effect.metric.endswith("_ms") and effect.outcome != "few"]
    assert latencies
    assert {effect.outcome for effect in latencies} == {"survivors"}
    throughput = next(effect for effect in found.effects if effect.metric == "steady_output_throughput")
    assert throughput.difference < -0.8
    assert "TTFT p50, TTFT p99, TPOT p50, E2E p50: not judged, for one side failed more" in str(found.verdict)
    assert "bad's" not in "".join(found.verdict.sentences)


def test_of_three_sides_those_that_answer_are_still_judged() -> None:
    found = Comparison.of_runs({"a": failing("a", 0), "bb": failing("bb", 0, tpot=0.008), "ccc": failing("ccc", 0.5)})
    assert found.verdict.headline.count("failed") == 1
    assert "; a none, bb none." in found.verdict.headline
    assert "bb's TPOT p50 is 20 %" in str(found.verdict)
    assert found.verdict.better == "bb"


def test_one_round_says_the_failures_and_claims_nothing() -> None:
    found = Comparison.of_runs({"good": failing("good", 0, count=1), "bad": failing("bad", 0.5, count=1, tpot=0.008)})
    assert found.verdict.headline.startswith("bad failed ")
    assert found.verdict.better is None


def test_a_server_that_fails_all_is_said_to() -> None:
    found = Comparison.of_runs({"good": failing("good", 0), "bad": failing("bad", 1.1)})
    assert found.verdict.headline.startswith("bad failed 100 % of its requests at 4 streams; good none.")


def test_failures_alike_on_both_sides_leave_the_verdict_to_the_figures() -> None:
    found = Comparison.of_runs({"a": failing("a", 0.2), "bb": failing("bb", 0.2, tpot=0.008)})
    assert found.failures == []
    assert next(each for each in found.effects if each.metric == "median_tpot_ms").outcome == "different"


def test_time_spent_on_failures_counts_in_the_throughput() -> None:
    (run,) = failing("x", 0.5, count=1)
    one = sample(run, 0, "output_throughput")
    assert one is not None
    assert (one.rows[:, 0] == 0).any()
    assert (one.rows[:, 1] > 0).all()
    without = one.rows[one.rows[:, 0] > 0]
    assert one.value < 0.8 * without[:, 0].sum() / without[:, 1].sum()


@pytest.mark.parametrize("took", [0.001, 0.5, 5.0])
def test_requests_that_are_refused_at_once_make_no_server_fast(took: float) -> None:
    """Streams pause after a refusal: what the requests took is then a small part of the time that passed."""
    bad = failing("bad", 0.9, took=took, tpot=0.008)
    found = Comparison.of_runs({"good": failing("good", 0), "bad": bad})
    throughput = next(effect for effect in found.effects if effect.metric == "steady_output_throughput")
    assert throughput.difference == pytest.approx(throughput.other_value / throughput.base_value - 1, abs=0.15)
    assert found.verdict.better == "good"


def test_few_failures_at_each_point_are_many_together() -> None:
    sides = {name: synthetic_run(name=name, seed=seed, errors=errors) for seed, (name, errors) in enumerate([("a", 0), ("b", 4)])}  # fmt: skip  # noqa: E501
    (found,) = unequal(Comparison.of_runs(sides).runs, ["1 stream", "4 streams", "16 streams"])
    assert (found.worse, found.points) == ("b", ("1 stream", "4 streams", "16 streams"))
    assert found.worse_share == pytest.approx(4 / 50)
    assert unequal(Comparison.of_runs(sides).runs, ["1 stream"]) == []


def test_two_proportions() -> None:
    """15 of 100 against 5 of 100: chi squared with Yates' correction 4.5, p 0.034."""
    assert two_proportions(15, 100, 5, 100) == pytest.approx(0.0339, abs=5e-4)
    assert two_proportions(0, 100, 0, 100) == 1.0
    assert two_proportions(0, 0, 5, 100) == 1.0
