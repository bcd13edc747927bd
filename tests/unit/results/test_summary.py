"""If these fail, a number on the screen is not what its name says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import synthetic_run

from llm_magics.results.columns import Columns
from llm_magics.results.records import RequestRecord
from llm_magics.results.summary import latency, summary

CLOSED = {"arrival": "concurrent", "concurrency": 1, "label": "1 stream"}


def record(index: int, start: float, *, ttft: float = 0.05, gap: float = 0.01, chunks: int = 11, per_chunk: int = 1) -> RequestRecord:  # fmt: skip  # noqa: E501
    last = start + ttft + gap * (chunks - 1)
    return RequestRecord(
        point=0, index=index, intended=start, sent=start, first_byte=start, first_token=start + ttft, last_token=last,
        done=last, prompt_tokens=100, output_tokens=chunks * per_chunk, chunks=chunks,
        gaps=[round(gap * 1e6)] * (chunks - 1),
    )  # fmt: skip


def test_every_key_of_vllm_bench_is_there() -> None:
    """A script that reads vllm bench's summaries reads ours."""
    theirs = json.loads((Path(__file__).parent / "vllm_bench_serve.json").read_text())
    about_the_file = {"date", "endpoint_type", "backend", "label", "model_id", "tokenizer_id", "latencies", "queue_times", "rtfx"}  # fmt: skip  # noqa: E501
    assert set(theirs) - about_the_file <= set(synthetic_run().points[0])


def test_known_truth_comes_out() -> None:
    point = synthetic_run(noise=0, ttft=0.05, tpot=0.01, output_tokens=64, concurrency=[4], requests=40).points[0]
    for key, truth in {"ttft": 50, "tpot": 10, "itl": 10, "icl": 10, "e2el": 50 + 63 * 10}.items():
        for form in ("mean_{}_ms", "median_{}_ms", "p50_{}_ms", "p99_{}_ms"):
            assert point[form.format(key)] == pytest.approx(truth, abs=1e-6)
        assert point[f"std_{key}_ms"] == pytest.approx(0, abs=1e-6)
    assert point["duration"] == pytest.approx(10 * 0.68)
    assert point["output_throughput"] == pytest.approx(40 * 64 / 6.8)
    assert point["total_token_throughput"] == pytest.approx(40 * (64 + 128) / 6.8)
    assert point["request_throughput"] == pytest.approx(40 / 6.8)
    assert point["max_concurrent_requests"] == 4
    assert point["achieved_concurrency"] == pytest.approx(4)
    assert (point["completed"], point["failed"], point["num_prompts"]) == (40, 0, 40)
    assert (point["max_concurrency"], point["request_rate"]) == (4, "inf")


def test_several_tokens_in_a_chunk_are_several_tokens() -> None:
    """With 4 tokens a chunk every 40 ms the pace is 10 ms a token; the time between chunks is named apart."""
    point = synthetic_run(noise=0, tpot=0.01, tokens_per_chunk=4, output_tokens=64, concurrency=[1]).points[0]
    assert point["mean_tpot_ms"] == pytest.approx(10)
    assert point["mean_itl_ms"] == pytest.approx(10)
    assert point["mean_icl_ms"] == pytest.approx(40)


def test_itl_counts_each_token_once_when_requests_differ_in_tokens_per_chunk() -> None:
    slow, quick = record(0, 0.0, gap=0.02, chunks=11), record(1, 1.0, gap=0.02, chunks=11, per_chunk=4)
    found = summary(Columns.of_records([slow, quick]), CLOSED)
    # 10 gaps of 20 ms a token, and 10 gaps that carry 4 tokens of 5 ms each
    assert found["mean_itl_ms"] == pytest.approx((10 * 20 + 40 * 5) / 50)
    assert found["median_itl_ms"] == pytest.approx(5)
    assert found["p90_itl_ms"] == pytest.approx(20)


def test_failures_count_and_their_latencies_do_not() -> None:
    good, bad = record(0, 0.0), record(1, 1.0, ttft=9.0)
    bad.status, bad.error = "error", "500 Internal Server Error"
    gone = record(2, 2.0, ttft=9.0)
    gone.status = "cancelled"
    found = summary(Columns.of_records([good, bad, gone]), CLOSED, slo={"ttft": 0.1})
    assert (found["completed"], found["failed"], found["cancelled"]) == (1, 1, 1)
    assert found["errors"] == {"500 Internal Server Error": 1}
    assert found["mean_ttft_ms"] == pytest.approx(50)
    assert found["total_output_tokens"] == 11
    assert found["goodput"] == pytest.approx(1 / 3)  # neither a failure is good nor what was left unanswered
    cut = summary(Columns.of_records([good, bad, gone]), CLOSED, slo={"ttft": 0.1}, interrupted=True)
    assert cut["goodput"] == pytest.approx(0.5)  # a request the user cut off is nobody's


def test_goodput_needs_every_limit_and_a_single_chunk_has_no_tpot_to_miss() -> None:
    records = [record(0, 0.0), record(1, 1.0, ttft=0.2), record(2, 2.0, gap=0.03), record(3, 3.0, chunks=1)]
    found = summary(Columns.of_records(records), CLOSED, slo={"ttft": 0.1, "tpot": 0.02})
    assert found["goodput"] == pytest.approx(2 / 4)
    assert found["request_goodput"] == pytest.approx(2 / found["duration"])
    assert summary(Columns.of_records(records), CLOSED)["goodput"] is None


def test_a_late_client_shows_as_lag_and_in_ttft() -> None:
    late = record(0, 0.0)
    late.intended = -0.030
    found = summary(Columns.of_records([late]), {"arrival": "poisson", "rate": 4.0, "label": "4 req/s"})
    assert found["lag"] == pytest.approx(30)
    assert found["mean_ttft_ms"] == pytest.approx(80)


def test_nothing_measured_is_none_not_zero() -> None:
    failed = RequestRecord(point=0, index=0, intended=0.0, sent=0.0, status="error", error="reset")
    found = summary(Columns.of_records([failed]), CLOSED)
    assert found["mean_ttft_ms"] is None
    assert found["p99_itl_ms"] is None
    assert found["output_throughput"] in (None, 0.0)


def test_without_the_servers_counts_no_figure_of_tokens_is_made_up() -> None:
    """A chunk is no token: one that carries four would halve the verdict twice over."""
    requests = [replace(record(i, i * 0.1), output_tokens=None, prompt_tokens=None) for i in range(40)]
    found = summary(Columns.of_records(requests), {"rate": 10.0})
    assert found["completed"] == 40
    assert found["mean_ttft_ms"] == pytest.approx(50)
    assert found["mean_icl_ms"] == pytest.approx(10)
    assert {key for key, value in found.items() if value is not None and ("token" in key or "itl" in key)} == set()


def test_a_request_that_was_cut_off_is_taken_to_have_had_chunks_like_the_others() -> None:
    whole = [record(i, 0.0, per_chunk=4) for i in range(3)]
    cut = replace(record(3, 0.0, per_chunk=4), status="cancelled", output_tokens=None)
    found = summary(Columns.of_records([*whole, cut]), CLOSED)
    assert found["max_output_tokens_per_s"] == 4 * 44


def test_chunks_whose_times_were_not_kept_came_evenly() -> None:
    """A file without them must not have all tokens of an answer arrive at its first one."""
    run = synthetic_run(noise=0, concurrency=[16], requests=64, ttft=0.05, tpot=0.1)
    columns = run.measured.without_gaps()
    there, lost = (summary(each, run.asked[0]) for each in (run.measured, columns))
    for key in ("max_output_tokens_per_s", "steady_output_throughput"):
        assert lost[key] == pytest.approx(there[key], rel=0.02)


def test_repeats_are_pooled_and_idle_time_between_them_is_not_counted() -> None:
    once, thrice = (synthetic_run(noise=0, concurrency=[4], requests=40, repeats=n).points[0] for n in (1, 3))
    assert thrice["duration"] == pytest.approx(3 * once["duration"])
    assert thrice["output_throughput"] == pytest.approx(once["output_throughput"])
    assert thrice["achieved_concurrency"] == pytest.approx(once["achieved_concurrency"])
    assert thrice["max_concurrent_requests"] == once["max_concurrent_requests"]


def test_open_loop_says_what_was_asked_scheduled_and_sent() -> None:
    point = synthetic_run(rate=[8.0], requests=400).points[0]
    assert point["request_rate"] == 8.0
    assert point["achieved_rate"] == pytest.approx(point["scheduled_rate"])
    assert point["achieved_rate"] == pytest.approx(8.0, rel=0.15)
    assert point["max_concurrency"] is None


def test_steady_throughput_leaves_ramp_and_drain_out() -> None:
    point = synthetic_run(noise=0, concurrency=[16], requests=50).points[0]
    assert point["steady_output_throughput"] == pytest.approx(16 * 64 / 0.68, rel=0.02)
    assert point["output_throughput"] < 0.9 * point["steady_output_throughput"]


@settings(deadline=None)
@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=60))
def test_percentiles_are_numpys(samples: list[float]) -> None:
    found = latency("ttft", np.array(samples))
    assert found["p90_ttft_ms"] == pytest.approx(np.percentile(samples, 90) * 1e3)
    assert found["median_ttft_ms"] == found["p50_ttft_ms"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 6)), min_size=1, max_size=12))
def test_weighted_percentiles_are_those_of_the_repeated_samples(pairs: list[tuple[int, int]]) -> None:
    values, weights = (np.array(each, dtype=float) for each in zip(*pairs, strict=True))
    found = latency("itl", values, weights)
    repeated = np.repeat(values, weights.astype(int)) * 1e3
    assert found["mean_itl_ms"] == pytest.approx(repeated.mean())
    assert found["p90_itl_ms"] == pytest.approx(np.percentile(repeated, 90, method="inverted_cdf"))
