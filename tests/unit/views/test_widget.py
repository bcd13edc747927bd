"""The sliders' goodput is the run's own, recomputed; without ipywidgets the way to get them is said."""

from __future__ import annotations

import sys

import pytest
from made import bench

from llm_magics import views  # noqa: F401 - teaches results to draw themselves
from llm_magics.errors import LLMMagicsError
from llm_magics.results.columns import Columns
from llm_magics.results.run import Run
from llm_magics.views.widget import goodput


def test_goodput_at_the_runs_own_limits_is_the_summarys() -> None:
    run = bench(slo={"ttft": 0.05, "tpot": 0.0102}, errors=4)
    found = goodput({"q": run}, 0.05, 0.0102)["q"]
    assert [row["share"] for row in found] == pytest.approx([point["goodput"] for point in run.points])
    assert [row["rate"] for row in found] == pytest.approx([point["request_goodput"] for point in run.points])


def test_looser_limits_make_more_requests_good() -> None:
    run = {"q": bench(noise=0.4)}
    tight, loose = goodput(run, 0.03, 0.01)["q"], goodput(run, 10.0, 10.0)["q"]
    assert all(a["share"] < b["share"] for a, b in zip(tight, loose, strict=True))
    assert all(row["share"] == 1.0 for row in loose)


def test_without_ipywidgets_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(LLMMagicsError, match="ipywidgets") as raised:
        bench(requests=10).widget()
    assert "pip install" in raised.value.then


def test_a_run_of_summaries_has_nothing_to_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", sys)  # is not reached
    with pytest.raises(LLMMagicsError, match="no single requests"):
        Run({"name": "x"}, Columns.of_records([]), given=[{"label": "a"}]).widget()
