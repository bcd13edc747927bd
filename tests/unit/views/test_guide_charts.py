"""The guide's charts: measured figures are the runs' own, the guide's are told apart and quoted right."""

from __future__ import annotations

import pytest
from made import synthetic_run

from llm_magics import views  # noqa: F401 - teaches results to draw themselves
from llm_magics.results.comparison import Comparison
from llm_magics.results.run import Run
from llm_magics.views.figures.guide_charts import charts, guide_figure

GIB = 1 << 30


def run(engine: str, **header: object) -> Run:
    made = synthetic_run(name=engine, concurrency=[1, 8, 64], requests=60, ttft=0.05, noise=0.1, slo={"ttft": 0.2})
    made.header.update(engine=engine, **header)
    return made


def compared(*engines: str, **header: object) -> Comparison:
    return Comparison.of_runs({f"{engine}{number}": run(engine, **header) for number, engine in enumerate(engines)})


def bars(comparison: Comparison) -> dict[str, dict[str, float]]:
    """Heading of each panel -> name of the bar -> value."""
    drawn = guide_figure(comparison).to_plotly_json()
    headings = [note["text"] for note in drawn["layout"]["annotations"]]
    return {
        heading: dict(zip(trace["y"], trace["x"], strict=True))
        for heading, trace in zip(headings, drawn["data"], strict=True)
    }


def test_measured_bars_are_the_figures_of_the_runs() -> None:
    comparison = compared(
        "vllm", "llamacpp", ready_after=12.5, install_size=3 * GIB, setup_steps=3, first_token_after=13.25
    )
    found = bars(comparison)
    throughput = next(values for heading, values in found.items() if heading.startswith("<b>Output throughput"))
    for label, one in comparison.runs.items():
        assert throughput[label] == max(point["output_throughput"] for point in one.points)
    assert found["<b>Requests held under the SLO</b>  measured, at once"]["vllm0"] == 64
    assert found["<b>Set-up: from command to ready</b>  measured, s"]["vllm0"] == 12.5
    assert found["<b>Set-up: installed size</b>  measured, GiB"]["llamacpp1"] == 3
    assert found["<b>Set-up: steps by hand</b>  counted, commands"]["vllm0"] == 3, "nobody measured them"
    assert found["<b>Set-up: from command to first token</b>  measured, s"]["vllm0"] == 13.25


def test_the_guides_figures_are_quoted_and_told_apart() -> None:
    comparison = compared("vllm", "llamacpp")
    found = bars(comparison)
    assert found["<b>The guide, 2024</b>  Llama 7B, A100"] == {"vLLM": 2500, "DeepSpeed": 2000, "HF Pipeline": 750}
    assert found["<b>The guide, 2024</b>  latency, Llama 70B, 4 x H100"] == {"TensorRT-LLM": 25, "vLLM": 40}
    drawn = guide_figure(comparison).to_plotly_json()
    for note, trace in zip(drawn["layout"]["annotations"], drawn["data"], strict=True):
        assert ("pattern" in trace["marker"]) == note["text"].startswith("<b>The guide, 2024")


def test_a_load_that_broke_the_slo_is_not_held() -> None:
    one = run("vllm")
    one.header["slo"] = {"ttft": 1e-6}
    comparison = Comparison.of_runs({"a": one, "b": run("llamacpp")})
    held = next(chart for chart in charts(comparison) if "held" in chart.title)
    for label, each in comparison.runs.items():
        good = [point["max_concurrency"] for point in each.points if (point["goodput"] or 0) >= 0.95]
        assert held.value(each) == max(good, default=0), label


def test_throughput_is_the_figure_that_the_table_shows() -> None:
    runs = {engine: synthetic_run(name=engine, concurrency=[1, 4], requests=80, ttft=0.05, noise=0.1)
            for engine in ("vllm", "sglang")}  # fmt: skip
    for engine, made in runs.items():
        made.header.update(engine=engine)
    comparison = Comparison.of_runs(runs)
    assert comparison.throughput == "steady_output_throughput"
    throughput = next(values for heading, values in bars(comparison).items() if "Output throughput" in heading)
    for label, one in comparison.runs.items():
        assert throughput[label] == max(point["steady_output_throughput"] for point in one.points)


def test_what_nobody_knows_is_left_out_and_one_engine_alone_has_no_charts() -> None:
    assert not any("Set-up" in heading for heading in bars(compared("vllm", "llamacpp")))
    assert guide_figure(compared("vllm", "vllm")) is None


@pytest.mark.parametrize("engines", [("vllm", "llamacpp"), ("vllm", "vllm")])
def test_the_report_has_them_where_engines_differ(engines: tuple[str, str]) -> None:
    page = str(compared(*engines).report())
    assert ("The guide&#x27;s charts, measured" in page) == (engines[0] != engines[1])
    assert ("on other hardware" in page) == (engines[0] != engines[1])


def test_names_of_servers_cannot_act() -> None:
    hostile = "<img src=x onerror=alert(1)>"
    comparison = Comparison.of_runs({hostile: run("vllm"), "b": run("llamacpp")})
    assert "<img" not in str(guide_figure(comparison).to_plotly_json())
