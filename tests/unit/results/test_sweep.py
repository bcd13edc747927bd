"""A sweep: which setting is on the front, what the words claim, what failed is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import synthetic_run

from llm_magics.results.sweep import Sweep


def sweep(**more: object) -> Sweep:
    """max_num_seqs 8 is beaten by 16 at both loads; 32 has the most, 16 the soonest."""
    runs = {}
    for value, ttft, tpot in ((8, 0.08, 0.02), (16, 0.05, 0.010), (32, 0.09, 0.008)):
        run = synthetic_run(
            name=f"s{value}", concurrency=[1, 8], requests=60, ttft=ttft, tpot=tpot, noise=0.0, slo={"ttft": 0.085}
        )
        runs[f"max_num_seqs={value}"] = run
    settings = {label: {"max_num_seqs": int(label.split("=")[1])} for label in runs}
    return Sweep(
        runs,
        {**settings, "max_num_seqs=64": {"max_num_seqs": 64}},
        failed={"max_num_seqs=64": "it does not fit"},
        **more,
    )  # type: ignore[arg-type]


def test_the_front_holds_exactly_what_nobody_beats() -> None:
    found = sweep()
    points = {(point.setting, point.load): point for point in found.points}
    front = {(point.setting, point.load) for point in found.front()}
    for key, point in points.items():
        beaten = any(
            other.value("output_throughput") >= point.value("output_throughput")  # type: ignore[operator]
            and other.value("median_e2el_ms") <= point.value("median_e2el_ms")  # type: ignore[operator]
            and name != key
            for name, other in points.items()
        )
        assert (key in front) == (not beaten), key


def test_the_words_name_the_best_and_what_was_not_measured() -> None:
    found = sweep()
    assert found.headline.startswith("max_num_seqs=32 gives the most: ")
    assert any(each.startswith("Within the SLO max_num_seqs=16 gives the most") for each in found.best)
    assert any("Beaten" in each and "max_num_seqs=8" in each for each in found.best)
    assert "max_num_seqs=64 was not measured: it does not fit" in found.flags
    assert found.partial
    assert "verdict takes rounds" in found.best[-1]


def test_the_table_has_the_options_as_columns() -> None:
    table = sweep().table
    assert list(table["max_num_seqs"]) == [8, 8, 16, 16, 32, 32]
    assert table["pareto"].any()


@pytest.mark.parametrize(("goal", "first"), [("slo", "max_num_seqs=16"), ("saturation", "max_num_seqs=8")])
def test_what_each_search_found_stands_first(goal: str, first: str) -> None:
    found = sweep()
    for (label, run), (answer, sure) in zip(
        found.runs.items(), [(4.0, True), (12.5, False), (None, False)], strict=True
    ):
        probes = [
            {"load": load, "requests": 60, "good": 60, "throughput": load, "tokens": 9 * load} for load in (4.0, 12.5)
        ]
        run.header["search"] = {
            "goal": goal, "over": "rate", "share": 0.95, "limits": {"ttft": 0.5}, "budget": 60.0, "answer": answer,
            "above": None, "sure": sure, "low": 0.9, "high": 1.0, "knee": None, "why": "found", "seconds": 50.0,
            "probes": probes, "label": label,
        }  # fmt: skip
    words = found.best
    assert words[0].startswith(f"{first}: ")
    told = {each.partition(": ")[0]: each for each in words[:3]}
    assert "12.5 req/s" in told["max_num_seqs=16"]
    assert "not sure" in told["max_num_seqs=16"]
    assert "4 req/s" in told["max_num_seqs=8"]
    assert "not sure" not in told["max_num_seqs=8"]
    assert "Does not" in told["max_num_seqs=32"]
    assert words[3].startswith("max_num_seqs=32 gives the most")


def test_nothing_answered_is_said() -> None:
    empty = Sweep({}, {"a=1": {"a": 1}}, failed={"a=1": "no"})
    assert empty.best == ["No setting answered anything."]


def test_it_draws_itself_and_writes_a_page(tmp_path: Path) -> None:
    import llm_magics.views  # noqa: F401 - teaches it

    found = sweep()
    bundle = found._repr_mimebundle_()
    assert "max_num_seqs=32 gives the most" in bundle["text/plain"]
    assert "Pareto front" in str(bundle["application/vnd.plotly.v1+json"])
    page = found.report(tmp_path / "sweep.html").read_text()
    assert "max_num_seqs=64 was not measured" in page
    names = [trace.name for trace in found.figure.data if trace.type == "scatter"]
    assert names == ["Pareto front", *found.runs]


def test_a_pareto_button_moves_every_line() -> None:
    import llm_magics.views  # noqa: F401 - teaches it

    figure = sweep().figure
    choices = figure.layout.updatemenus[0].buttons
    assert [each.label for each in choices] == ["E2E", "TTFT", "TPOT"]
    traces, _, places = choices[1].args
    assert len(traces["x"]) == len(places) == 4
    assert traces["x"][1][0] == pytest.approx(80, rel=0.01)
