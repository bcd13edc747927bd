"""The tables of a run and of a comparison."""

from __future__ import annotations

import pytest
from made import bench, compared

from llm_magics.results.records import ServerSample
from llm_magics.views import comparison_table, run_tables


def test_points_show_failures_only_where_there_are_some() -> None:
    assert "Failed" not in str(run_tables.points(bench()))
    text = str(run_tables.points(bench(errors=3)))
    assert "Failed" in text
    assert "Goodput" in text
    assert "64 streams" in text


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (["running", "tpot_count", "tpot_sum"], "not seen (too few looks with an answer between them): TPOT mean of"),
        (["running"], "not exported: TTFT mean of the server, TPOT mean of the server"),
        ([], "not exported: TTFT mean of the server, TPOT mean of the server"),
    ],
)
def test_what_a_run_was_too_short_for_is_told_from_what_the_engine_has_not(declared: list[str], words: str) -> None:
    run = bench(concurrency=[4])
    run.header["exports"] = declared
    run.server_samples = [ServerSample(run.windows[0].start, {"running": 2.0, "rss": 1e6})]
    said = str(run_tables.server_side(run))
    assert words in said
    assert said.count("TPOT mean") == 1


def test_a_run_over_before_the_first_look_calls_nothing_missing() -> None:
    run = bench(concurrency=[4])
    run.server_samples = []
    said = str(run_tables.server_side(run))
    assert "not exported" not in said
    assert "was not seen" in said


def test_a_comparison_marks_only_what_is_certain() -> None:
    comparison = compared()
    table = comparison_table.comparison(comparison)
    rows = {(str(row[0]), str(row[1])): row for row in table.rows}
    column = [title.title for title in table.columns].index("TTFT p50")
    best, worse = rows["1 stream", "side0"][column], rows["", "side1"][column]
    assert best.mark == "✓"
    assert best.tone == "best"
    assert worse.mark == ""
    assert " to " in best.note
    output = [title.title for title in table.columns].index("Output")
    certain = {(e.point, e.metric) for e in comparison.effects if e.outcome == "different"}
    assert (rows["1 stream", "side0"][output].mark == "✓") == (("1 stream", "steady_output_throughput") in certain)
