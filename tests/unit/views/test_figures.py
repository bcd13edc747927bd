"""Figures draw what was measured: the right curves in the right panels, for every kind of run."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from made import ATTACK, answer, bench, compared

from llm_magics import views  # noqa: F401 - teaches results to draw themselves
from llm_magics.results.columns import Columns
from llm_magics.results.comparison import Comparison
from llm_magics.results.records import ServerSample
from llm_magics.results.run import Run
from llm_magics.views.figures.distribution import SHARES, quantiles
from llm_magics.views.figures.load_axis import chosen, load_axis
from llm_magics.views.figures.of_comparison import comparison_figure
from llm_magics.views.figures.of_run import run_figure


def texts(figure: Any) -> str:
    layout = figure.layout
    return " ".join(str(part.text) for part in [layout.title, layout.title.subtitle, *layout.annotations])


def labels(figure: Any) -> list[str]:
    return [shape.label.text for shape in figure.layout.shapes if shape.label.text]


def test_a_sweep_shows_throughput_and_latencies_over_the_load() -> None:
    run = bench()
    figure = run.figure
    np.testing.assert_allclose(figure.data[0].y, [point["output_throughput"] for point in run.points])
    assert list(figure.data[0].x) == [1, 8, 64]
    assert figure.layout.xaxis.title.text == "concurrent streams"
    assert figure.layout.yaxis.title.text == "tok/s"
    assert figure.layout.yaxis2.title.text == "ms"
    medians = [point["median_ttft_ms"] for point in run.points]
    assert any(list(trace.y) == medians for trace in figure.data if trace.type == "scatter")
    assert "SLO 55 ms" in labels(figure)


@pytest.mark.parametrize(("ttft", "anchor"), [(0.055, "bottom"), (0.15, "top")])
def test_the_name_of_a_limit_where_the_axis_ends_stands_under_it(ttft: float, anchor: str) -> None:
    """Nobody could read it above: Plotly cuts off what lies outside the panel."""
    shapes = bench(slo={"ttft": ttft}).figure.layout.shapes
    level = next(shape for shape in shapes if shape.y0 == shape.y1 == ttft * 1000)
    assert level.label.yanchor == anchor


def test_the_distribution_is_switched_by_plotly_alone() -> None:
    figure = bench().figure
    menu = figure.layout.updatemenus[0]
    assert [button.label for button in menu.buttons] == ["TTFT", "TPOT", "E2E"]
    shown = menu.buttons[1].args[0]["visible"]
    places = menu.buttons[1].args[2]
    assert [figure.data[place].meta for place, on in zip(places, shown, strict=True) if on] == ["tpot"] * 3


def test_what_is_too_long_for_a_line_is_two() -> None:
    """Plotly cuts off what does not fit: the end of the sentence, or a table's last rows behind those that wrap."""
    short, long = run_figure(bench(slo={})).layout, run_figure(bench()).layout
    lines = long.title.subtitle.text.split("<br>")
    assert len(lines) == 2
    assert max(map(len, lines)) <= 100
    assert " · ".join(lines).count("SLO") == 1
    assert "<br>" not in short.title.subtitle.text
    assert long.margin.t == short.margin.t + 16
    both = comparison_figure(compared())
    lines = both.layout.title.text.removeprefix("<b>").removesuffix("</b>").split("<br>")
    assert max(map(len, lines)) <= 70
    assert " ".join(lines) == compared().verdict.headline  # whole, whatever it takes
    table = next(trace for trace in both.data if trace.type == "table")
    assert [text for column in table.cells["values"] for text in column if " " in text] == []  # none is broken


def test_differences_say_which_load_is_on_top_and_a_page_with_the_verdict_has_the_caveats() -> None:
    comparison = compared()
    comparison.flags.append("this is a caveat")
    whole, bare = comparison_figure(comparison), comparison_figure(comparison, bare=True)
    titles = [axis.title.text for axis in whole.select_xaxes()]
    assert f"%, 95 % interval; {comparison.points[0]} on top" in titles
    assert "caveat" in whole.layout.title.subtitle.text
    assert "caveat" not in bare.layout.title.subtitle.text


def test_one_point_shows_distributions_in_place_of_curves() -> None:
    figure = bench(concurrency=[16]).figure
    headings = texts(figure)
    for heading in ("TTFT", "TPOT", "E2E", "Requests in flight"):
        assert heading in headings
    assert "Output throughput" not in headings
    assert not figure.layout.updatemenus


def test_a_partial_run_is_labelled_on_the_figure() -> None:
    assert "partial" in texts(bench(status="cancelled").figure)
    assert "partial" not in texts(bench().figure)


def test_an_infinite_rate_stands_on_an_axis_of_categories() -> None:
    run = bench(concurrency=None, rate=[1, 4, math.inf], requests=30)
    assert list(run.figure.data[0].x) == ["1", "4", "∞"]
    assert run.figure.layout.xaxis.type == "category"


def test_rates_that_lie_close_are_drawn_linearly_and_wide_ones_logarithmically() -> None:
    close = load_axis([{"request_rate": rate, "max_concurrency": None} for rate in (1.0, 2.0, 4.0)])
    wide = load_axis([{"request_rate": rate, "max_concurrency": None} for rate in (1.0, 2.0, 16.0)])
    assert close[2].get("type") is None
    assert wide[2]["type"] == "log"
    assert wide[1] == "request rate, req/s"


def test_a_run_of_which_only_summaries_exist_shows_its_curves_and_its_table() -> None:
    points = [{**point, "label": f"point {number}"} for number, point in enumerate(bench().points)]
    figure = Run({"name": "imported"}, Columns.of_records([]), given=points).figure
    assert "Output throughput" in texts(figure)
    assert "Requests in flight" not in texts(figure)
    assert figure.data[-1].type == "table"


def test_a_run_that_measured_nothing_is_still_shown() -> None:
    made = Run({"name": "empty"}, Columns.of_records([]), status="failed")._repr_mimebundle_()
    assert "nothing was measured" in made["text/plain"]


def test_a_run_in_which_everything_failed_is_still_shown() -> None:
    made = bench(requests=5, errors=5)._repr_mimebundle_()
    assert "failed" in made["text/plain"]


def test_the_timeline_shows_the_servers_own_queue_and_cache() -> None:
    run = bench()
    assert "KV cache" in texts(run.figure)
    run.server_samples = [ServerSample(0.0, {"running": 1.0}), ServerSample(1.0, {"running": 2.0})]
    assert "KV cache" not in texts(run_figure(run))
    assert "running" in texts(run_figure(run))


def test_a_run_too_short_to_see_the_servers_times_says_so_and_not_that_there_are_none() -> None:
    run = bench(concurrency=[4])
    run.server_samples = [ServerSample(t, {"running": 1.0, "rss": 1e6}) for t in (0.0, 0.2)]
    assert "not exported by this engine" in texts(run_figure(run))
    run.server_samples = run.server_samples[:1]
    run.header["exports"] = ["running", "tpot_count", "tpot_sum"]
    drawn = texts(run_figure(run))
    assert "not exported" not in drawn
    assert "not seen (too few looks with an answer between them)" in drawn
    run.header["exports"] = ["running"]
    assert "not exported by this engine" in texts(run_figure(run))


def test_the_timeline_keeps_the_mean_load_when_it_is_thinned() -> None:
    run = bench(concurrency=[16], warmup=0, noise=0.0)
    lines = [trace for trace in run.figure.data if trace.name == "in flight"]
    assert len(lines[0].x) <= 130
    assert np.median(np.asarray(lines[0].y)) == pytest.approx(16, abs=0.5)


def test_rounds_pooled_into_one_run_have_no_common_clock_and_no_timeline() -> None:
    pooled = compared().runs["side0"]
    assert "Requests in flight" not in texts(pooled.figure)
    assert "E2E" in texts(pooled.figure)


def test_quantiles_are_those_of_the_requests() -> None:
    samples = np.concatenate([np.linspace(0.01, 0.02, 1001), [np.nan]])
    found = quantiles(samples)
    assert found[list(SHARES).index(50)] == pytest.approx(15.0)
    assert found[-1] == pytest.approx(20.0)
    assert quantiles(np.array([np.nan])) == []


def test_of_many_points_the_ends_are_among_those_chosen() -> None:
    assert chosen(3) == [0, 1, 2]
    assert chosen(9) == [0, 3, 5, 8]


def test_a_limit_far_beyond_the_data_is_named_and_does_not_press_it_flat() -> None:
    figure = bench(slo={"ttft": 60.0}).figure
    assert "SLO 60.0 s ↑" in labels(figure) or "SLO 60 s ↑" in labels(figure)
    assert all(shape.y1 < 1000 for shape in figure.layout.shapes if shape.yref == "y2")


def test_the_name_of_a_limit_is_inside_its_panel() -> None:
    def side(limit: float) -> str:
        upright = [shape for shape in bench(slo={"ttft": limit}).figure.layout.shapes if shape.x0 == shape.x1]
        return str(upright[0].label.xanchor)

    assert side(0.015) == "left"
    assert side(0.055) == "right"  # just over half of the longest: on a logarithmic axis this is its last quarter


def test_a_comparison_overlays_the_sides_with_their_intervals() -> None:
    comparison = compared()
    figure = comparison.figure
    curves = [
        trace for trace in figure.data if trace.type == "scatter" and trace.name == "side1" and trace.error_y.array
    ]
    assert curves
    row = comparison.table.loc[("1 stream", "median_ttft_ms")]
    ttft = next(trace for trace in curves if trace.y[0] == pytest.approx(row["side1", "value"]))
    assert ttft.error_y.array[0] == pytest.approx(row["side1", "high"] - row["side1", "value"])
    assert comparison.verdict.headline[:30] in texts(figure)


def test_differences_are_coloured_only_where_they_are_certain() -> None:
    comparison = compared()
    groups = [trace for trace in comparison.figure.data if trace.type == "scatter" and trace.error_x.array]
    drawn = sum(len(trace.x) for trace in groups)
    assert drawn == sum(effect.low is not None for effect in comparison.effects)
    hollow = sum(symbol.endswith("-open") for trace in groups for symbol in trace.marker.symbol)
    assert hollow == sum(e.low is not None and e.outcome != "different" for e in comparison.effects)


def test_three_sides_are_compared_too() -> None:
    assert "side2" in texts(compared(3, 1).figure)


def test_answers_have_a_figure_of_their_speed() -> None:
    figure = comparison_figure(Comparison.of_answers("?", {"a": answer(), "b": answer(name="b", error="x", ttft=None)}))
    assert figure.data[0].y[0] == pytest.approx(12.3)


def test_tags_in_names_are_text_in_figures() -> None:
    run = bench(name=ATTACK, engine=ATTACK, requests=20)
    assert "<img" not in run.figure.to_json()
    assert "&lt;img" in texts(run.figure)
