"""The tables of a run and of a comparison."""

from __future__ import annotations

from made import bench, compared

from llm_magics.views import comparison_table, run_tables


def test_points_show_failures_only_where_there_are_some() -> None:
    assert "Failed" not in str(run_tables.points(bench()))
    text = str(run_tables.points(bench(errors=3)))
    assert "Failed" in text
    assert "Goodput" in text
    assert "64 streams" in text


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
