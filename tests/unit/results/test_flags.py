"""If these fail, a figure that should not be believed is shown without a word."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from synthetic import synthetic_run

from llm_magics.results import flags
from llm_magics.results.comparison import Comparison
from llm_magics.results.records import Audit
from llm_magics.results.run import Run


def changed(run: Run, **columns: Any) -> Run:
    return Run(run.header, replace(run.columns, **columns), windows=run.windows, audits=run.audits, status=run.status)


def said(run: Run | Comparison, words: str) -> bool:
    return any(words in flag for flag in run.flags)


def test_a_clean_run_has_none() -> None:
    assert synthetic_run(requests=60).flags == []
    assert synthetic_run(rate=[4, 16], requests=100).flags == []
    assert synthetic_run(requests=60, repeats=3, tokens_per_chunk=4).flags == []


@pytest.mark.parametrize(
    ("audit", "words"),
    [
        (Audit(0, 0, core=0.71, loop_lag_p99=0, send_lag_p99=0, chunks_per_read=1, held=1), "71 % of a core"),
        (Audit(0, 0, core=0.1, loop_lag_p99=0.0021, send_lag_p99=0, chunks_per_read=1, held=1), "2.1 ms late"),
    ],
)
def test_a_busy_client(audit: Audit, words: str) -> None:
    run = synthetic_run(concurrency=[1])
    assert said(Run(run.header, run.columns, windows=run.windows, audits=[audit]), words)


def test_a_late_schedule() -> None:
    run = synthetic_run(rate=[10], requests=200, noise=0)
    stretched = run.columns.intended * 1.05
    assert said(changed(run, sent=stretched), "were sent of the")
    assert not said(changed(run, sent=run.columns.intended * 1.01), "were sent of the")


def test_streams_that_could_not_be_held() -> None:
    run = synthetic_run(concurrency=[8], requests=80, noise=0)
    # every request of one stream in eight waits 20 % longer before it is sent than it should
    slack = run.columns.intended + 0.2 * (run.columns.index % 2) * 0.68
    assert said(changed(run, sent=slack), "streams were held of the 8 asked for")
    assert said(changed(run, sent=slack), "7.")
    assert not said(changed(run, sent=slack), "8.0 streams")
    assert said(synthetic_run(concurrency=[16], requests=10), "10 requests cannot fill 16 streams")


def test_the_turn_between_short_requests_of_a_stream_is_no_shortfall() -> None:
    """50 ms a request: 2 ms until the next one is on its way are 4 % of the time; 10 ms are an idle stream."""
    run = synthetic_run(concurrency=[1], requests=50, noise=0, ttft=0.018, tpot=0.0005, warmup=0)
    assert not said(changed(run, sent=run.columns.intended + 0.002), "held")
    assert said(changed(run, sent=run.columns.intended + 0.010), "0.80 streams were held of the 1 asked for")


def test_a_length_that_was_not_honoured() -> None:
    run = synthetic_run(concurrency=[1], requests=50, warmup=0)
    short = np.where(np.arange(50) < 5, 40, 64)
    assert said(changed(run, output_tokens=short), "5 of 50 answers do not have the length asked for")
    free = Run(
        {**run.header, "workload": {**run.workload, "ignore_eos": False}}, replace(run.columns, output_tokens=short)
    )
    assert not said(free, "length")


def test_prompts_of_another_length_than_asked() -> None:
    run = synthetic_run(concurrency=[1], warmup=0)
    assert said(changed(run, prompt_tokens=np.full(50, 131)), "131.0 tokens on average by the server's count, 128")
    assert not said(changed(run, prompt_tokens=np.full(50, 129)), "on average")


def test_no_usage_from_the_server() -> None:
    run = synthetic_run(concurrency=[1], warmup=0)
    assert said(changed(run, output_tokens=np.full(50, -1)), "no token counts for 50 of 50 answers")


def test_errors_with_the_most_frequent_one() -> None:
    assert said(synthetic_run(concurrency=[1], errors=3), '3 of 50 requests failed, most often "503 Service')


def test_a_cache_that_knows_random_prompts() -> None:
    assert said(
        synthetic_run(concurrency=[1], cached_tokens=100), "78 % of the prompt tokens came from the server's cache"
    )
    assert not said(synthetic_run(concurrency=[1], cached_tokens=10), "cache")


def test_rows_that_are_sent_again() -> None:
    run = synthetic_run(concurrency=[1], requests=50, warmup=2)
    run.header["workload"]["workload"], run.header["prompts"] = "file", {"rows": 52}
    assert not said(run, "sent again")
    run.header["prompts"]["rows"] = 40
    run = changed(run)
    assert said(run, "52 requests were made of 40 rows: what is sent again may come from the server's prefix cache")
    assert said(Comparison.of_runs({"A": run, "B": run}), "52 requests were made of 40 rows")


def test_nothing_measured() -> None:
    run = synthetic_run(concurrency=[1])
    assert said(Run(run.header, run.columns.take(run.columns.warmup)), "nothing was measured")


def test_what_was_noted_of_the_prompts_is_said() -> None:
    note = "3 conversations without a message of a user were left out"
    run = synthetic_run(requests=20)
    run.header["prompts"] = {"note": note}
    assert note in flags.flags(run)
