"""If these fail, what a notebook does with a run (`.requests`, `.points`, `.save`) breaks or lies."""

from __future__ import annotations

from datetime import UTC

import numpy as np
import pytest
from synthetic import synthetic_run

from llm_magics.results.columns import Columns
from llm_magics.results.naming import is_id, new_id
from llm_magics.results.records import RequestRecord

DESIGNED = [
    "point", "intended", "sent", "first_token", "last_token", "ttft", "tpot", "e2e", "prompt_tokens", "output_tokens",
    "status", "error", "repeat", "lag", "cached_tokens", "chunks", "finish",
]  # fmt: skip


def test_requests_are_one_row_a_measured_request() -> None:
    run = synthetic_run(requests=20, warmup=3, noise=0)
    assert set(DESIGNED) <= set(run.requests.columns)
    assert len(run.requests) == 3 * 20
    assert len(run.request_frame(warmup=True)) == 3 * 23
    row = run.requests.iloc[0]
    assert row.ttft == pytest.approx(0.05)
    assert row.e2e == pytest.approx(row.last_token - row.intended)
    assert (row.status, row.error, row.output_tokens) == ("ok", None, 64)


def test_rows_and_records_agree() -> None:
    """The columns compute what `RequestRecord`'s own properties say, for every kind of request."""
    records = [
        RequestRecord(
            point=0, index=0, intended=1.0, sent=1.001, first_token=1.2, last_token=1.9, output_tokens=30, chunks=10,
        ),
        RequestRecord(
            point=0, index=1, intended=1.0, sent=1.1, first_token=1.2, last_token=1.2, output_tokens=1, chunks=1,
        ),
        RequestRecord(point=0, index=2, intended=2.0, status="error", error="reset"),
        RequestRecord(point=0, index=3, intended=2.0, sent=2.0, first_token=2.5, last_token=3.0, chunks=4),
    ]  # fmt: skip
    columns = Columns.of_records(records)
    for name in ("ttft", "tpot", "e2e", "lag"):
        expected = [np.nan if (value := getattr(each, name)) is None else value for each in records]
        np.testing.assert_allclose(getattr(columns, name), expected)


def test_summary_is_a_mapping_or_a_list() -> None:
    assert isinstance(synthetic_run(concurrency=[2]).summary, dict)
    assert [point["max_concurrency"] for point in synthetic_run(concurrency=[1, 2]).summary] == [1, 2]


def test_frame_and_samples() -> None:
    run = synthetic_run()
    assert list(run.frame["label"]) == ["1 stream", "4 streams", "16 streams"]
    assert {"t", "running", "kv_usage"} <= set(run.samples.columns)
    assert run.started.tzinfo is UTC


def test_columns_survive_taking_joining_and_packing() -> None:
    columns = synthetic_run(errors=3, requests=10).columns
    odd = columns.take(np.arange(len(columns)) % 2 == 1)
    even = columns.take(np.arange(len(columns)) % 2 == 0)
    joined = Columns.concatenated([odd, even])
    back = joined.take(np.argsort(np.concatenate([np.arange(1, len(columns), 2), np.arange(0, len(columns), 2)])))
    for one, other in ((back, columns), (Columns.from_bytes(columns.to_bytes()), columns)):
        assert list(one.rows()) == list(other.rows())


def test_a_damaged_block_says_so() -> None:
    with pytest.raises(ValueError, match="damaged"):
        Columns.from_bytes(b"nonsense")


def test_ids_sort_by_time_and_are_recognized() -> None:
    early, late = new_id(1_790_000_000), new_id(1_790_000_001)
    assert early < late
    assert all(is_id(new_id()) and is_id(new_id()[:8]) for _ in range(200))
    assert len({new_id(1_790_000_000) for _ in range(50)}) > 45
    assert not any(map(is_id, ("ray", "qwen", "r", "tiny2", "r 12", "http://r12")))


def test_a_run_without_points_in_its_header_still_names_them() -> None:
    run = synthetic_run(concurrency=[1, 8])
    bare = {key: value for key, value in run.header.items() if key != "points"}
    from llm_magics.results.run import Run

    assert [point["label"] for point in Run(bare, run.columns).points] == ["1 stream", "8 streams"]
    nothing = Run({"name": "x"}, run.columns)
    assert [point["label"] for point in nothing.points] == ["point 1", "point 2"]
