"""A bundle is what stays in the notebook: small, plain, and true to the numbers."""

from __future__ import annotations

import json
import math

import numpy as np
import plotly.graph_objects as go
from made import bench, compared

from llm_magics import views  # noqa: F401 - teaches results to draw themselves
from llm_magics.results.comparison import Comparison
from llm_magics.views.bundle import PLOTLY, bundle, decoded, plotly_json, rounded


def size(result: object) -> int:
    return len(json.dumps(result._repr_mimebundle_()).encode())  # type: ignore[attr-defined]


def test_a_bench_of_three_points_stays_under_50_kb() -> None:
    assert size(bench(errors=2)) < 45_000
    assert size(bench(concurrency=[16])) < 35_000


def test_a_longer_run_is_hardly_larger() -> None:
    assert size(bench(requests=3000)) < 1.15 * size(bench(requests=300))


def test_a_comparison_of_two_stays_under_50_kb() -> None:
    assert size(compared()) < 50_000


def test_a_bundle_has_all_three_forms_and_no_template() -> None:
    made = bench()._repr_mimebundle_()
    assert set(made) == {PLOTLY, "text/html", "text/plain"}
    assert "template" not in made[PLOTLY]["layout"]
    assert "qwen" in made["text/plain"]


def test_answers_are_shown_as_words_not_as_a_figure() -> None:
    from made import answer

    made = Comparison.of_answers("Why?", {"a": answer(), "b": answer(name="b")})._repr_mimebundle_()
    assert PLOTLY not in made
    assert "hello" in made["text/html"]


def test_numbers_are_rounded_and_missing_ones_are_null() -> None:
    assert rounded(1.23456789) == 1.2346
    assert rounded(123456.0) == 123460
    assert rounded(math.nan) is None
    figure = go.Figure(go.Scatter(y=[1.23456789, math.nan, None]))
    assert plotly_json(figure)["data"][0]["y"] == [1.2346, None, None]
    json.dumps(plotly_json(figure), allow_nan=False)


def test_long_arrays_are_packed_and_come_back() -> None:
    for values in (np.linspace(0, 1, 50), np.arange(50), np.arange(50) * 1000, np.array([*range(30), math.nan])):
        packed = plotly_json(go.Figure(go.Scatter(y=values)))["data"][0]["y"]
        assert isinstance(packed["bdata"], str)
        np.testing.assert_allclose(decoded(packed), values, rtol=1e-4)


def test_a_bundle_without_a_figure_is_html_and_text() -> None:
    assert bundle(html="<p>", text="t") == {"text/plain": "t", "text/html": "<p>"}
