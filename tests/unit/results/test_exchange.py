"""If these fail, a run cannot be taken to another tool, or another tool's run says something else here than there."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import synthetic_run

from llm_magics.errors import SpecError
from llm_magics.results import exchange
from llm_magics.results.exchange import Format
from llm_magics.results.run import Run

HERE = Path(__file__).parent


@pytest.fixture
def run() -> Run:
    return synthetic_run(requests=20, errors=2, slo={"ttft": 0.05}, repeats=2)


def test_our_json_holds_everything(run: Run, tmp_path: Path) -> None:
    run.label = "mine"
    back = Run.load(run.save(tmp_path / "run.json"))
    assert back.points == run.points
    assert back.flags == run.flags
    assert back.request_frame(warmup=True).equals(run.request_frame(warmup=True))
    assert back.samples.equals(run.samples)
    assert (back.id, back.label, back.status, back.started) == (run.id, "mine", run.status, run.started)


def test_csv_holds_the_requests(run: Run, tmp_path: Path) -> None:
    back = Run.load(run.save(tmp_path / "run.csv"))
    for column in ("ttft", "e2e", "tpot", "output_tokens"):
        assert back.requests[column].to_numpy() == pytest.approx(run.requests[column].to_numpy(), nan_ok=True)
    assert back.points[1]["median_ttft_ms"] == pytest.approx(run.points[1]["median_ttft_ms"])
    assert any("ITL" in flag for flag in back.flags)


def test_parquet_holds_the_requests_and_where_they_come_from(run: Run, tmp_path: Path) -> None:
    back = Run.load(run.save(tmp_path / "run.parquet"))
    assert [point["label"] for point in back.points] == [point["label"] for point in run.points]
    assert back.points[2]["p99_ttft_ms"] == pytest.approx(run.points[2]["p99_ttft_ms"])
    assert (back.id, back.header["engine"]) == (run.id, "vllm")


@pytest.mark.parametrize("name", ["run.csv", "run.parquet"])
def test_what_a_server_counted_as_it_came_is_in_tables_too(run: Run, tmp_path: Path, name: str) -> None:
    """Else TPOT, which leaves the first chunk's own tokens out, is another one after the way through a file."""
    run.columns = replace(run.columns, first_tokens=np.where(run.columns.chunks > 0, 7, -1))
    back = Run.load(run.save(tmp_path / name))
    assert back.points[0]["mean_tpot_ms"] == pytest.approx(run.points[0]["mean_tpot_ms"])
    assert back.requests["first_byte"].to_numpy() == pytest.approx(run.requests["first_byte"].to_numpy(), nan_ok=True)


def test_answers_without_counts_are_no_failures_in_vllms_format(run: Run, tmp_path: Path) -> None:
    unknown = np.full(len(run.columns), -1)
    run.columns = replace(run.columns, output_tokens=unknown, prompt_tokens=unknown)
    back = Run.load(run.save(tmp_path / "theirs.json", "vllm"))
    assert [point["failed"] for point in back.points] == [point["failed"] for point in run.points]
    assert back.points[0]["output_throughput"] is None


def test_parquet_without_pyarrow_names_the_install(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SpecError, match="llm-magics\\[parquet\\]"):
        run.save(tmp_path / "run.parquet")


def test_a_real_file_of_vllm_bench_is_read() -> None:
    """Written by `vllm bench serve` 0.32 without --save-detailed: summaries only."""
    theirs = json.loads((HERE / "vllm_bench_serve.json").read_text())
    found = Run.load(HERE / "vllm_bench_serve.json")
    point = found.points[0]
    assert point["label"] == "16 streams"
    for key in ("output_throughput", "mean_ttft_ms", "p99_itl_ms", "completed", "total_input_tokens", "duration"):
        assert point[key] == theirs[key]
    assert point["goodput"] is None
    assert found.requests.empty
    assert any("only summaries" in flag for flag in found.flags)
    assert found.started.year == 2026


def test_figures_that_are_no_numbers_do_not_stop_a_file(tmp_path: Path) -> None:
    theirs = json.loads((HERE / "vllm_bench_serve.json").read_text()) | {"std_itl_ms": float("nan")}
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps(theirs) + "\n" + json.dumps(theirs))
    assert [point["completed"] for point in Run.load(path).points] == [64, 64]


def test_what_we_write_as_vllm_bench_gives_vllm_benchs_figures(run: Run, tmp_path: Path) -> None:
    path = exchange.write(run, tmp_path / "theirs.json", "vllm")
    documents = [json.loads(line) for line in path.read_text().splitlines()]
    assert [document["max_concurrency"] for document in documents] == [1, 1, 4, 4, 16, 16]  # two repetitions
    # vllm bench's own formulas on the details that it would have written
    document = documents[1]
    good = [i for i, error in enumerate(document["errors"]) if not error]
    ttfts = [document["ttfts"][i] for i in good]
    tpots = [(document["latencies"][i] - document["ttfts"][i]) / (document["output_lens"][i] - 1) for i in good]
    assert 1e3 * sum(ttfts) / len(ttfts) == pytest.approx(document["mean_ttft_ms"])
    assert 1e3 * sum(tpots) / len(tpots) == pytest.approx(document["mean_tpot_ms"])
    assert sum(document["output_lens"]) / document["duration"] == pytest.approx(document["output_throughput"])
    back = Run.load(path)
    assert [point["failed"] for point in back.points] == [4, 4, 4]
    for ours, theirs in zip(run.points, back.points, strict=True):
        for key in ("output_throughput", "median_ttft_ms", "p99_tpot_ms", "mean_itl_ms", "label"):
            assert theirs[key] == (ours[key] if key == "label" else pytest.approx(ours[key], rel=1e-5))


@pytest.mark.parametrize("format", ["vllm", "guidellm", "aiperf"])
@pytest.mark.parametrize("load", [{"concurrency": [2, 4]}, {"rate": [10, 20]}])
def test_repetitions_come_back_as_such(load: dict[str, Any], format: Format, tmp_path: Path) -> None:  # noqa: A002
    """As one point they would stand for the time between them too, in which other loads were measured."""
    run = synthetic_run(requests=30, repeats=3, **load)
    back = Run.load(run.save(tmp_path / ("x.jsonl" if format == "aiperf" else "x.json"), format))
    for ours, theirs in zip(run.points, back.points, strict=True):
        assert theirs["repeats"] == 3
        for key in ("duration", "output_throughput", "steady_output_throughput", "achieved_rate"):
            assert theirs[key] == pytest.approx(ours[key], rel=5e-3), key


GUIDELLM = {
    "metadata": {"version": 2, "guidellm_version": "0.8.1", "python_version": "3.12", "platform": "Linux"},
    "config": {},
    "benchmarks": [
        {
            "type_": "generative_benchmark",
            "config": {
                "strategy": {"type_": "concurrent", "streams": 2}, "backend": {"target": "http://x", "model": "m"},
            },
            "scheduler_metrics": {
                "start_time": 1000.0, "measure_start_time": 1001.0, "measure_end_time": 1005.0,
                "requests_made": {"successful": 2, "errored": 1, "incomplete": 1, "total": 9},
            },
            "metrics": {},
            "requests": {
                "successful": [
                    {
                        "info": {"timings": {
                            "targeted_start": start, "request_start": start + 0.01,
                            "first_token_iteration": start + 0.1, "last_token_iteration": start + 1.0,
                            "request_end": start + 1.0, "token_iterations": 10,
                        }},
                        "input_metrics": {"text_tokens": 100, "cached_tokens": 20},
                        "output_metrics": {"text_tokens": 10},
                    }
                    for start in (998.5, 1001.0, 1002.0)
                ],
                "errored": [{"info": {"timings": {"request_start": 1003.0, "resolve_end": 1003.5}, "error": "500"},
                             "input_metrics": {}, "output_metrics": {}}],
                "incomplete": [{"info": {"timings": {"request_start": 1004.0, "resolve_end": 1005.0}}}],
            },
        },
    ],
}  # fmt: skip


def test_a_guidellm_report_is_read(tmp_path: Path) -> None:
    (tmp_path / "benchmarks.json").write_text(json.dumps(GUIDELLM))
    found = Run.load(tmp_path / "benchmarks.json")
    point = found.points[0]
    assert (point["label"], point["completed"], point["failed"], point["cancelled"]) == ("2 streams", 2, 1, 1)
    assert point["mean_ttft_ms"] == pytest.approx(100)  # from the wanted moment; GuideLLM says 90, from the dispatch
    assert point["mean_lag_ms"] == pytest.approx(10 * 2 / 4)  # the other two have no wanted moment of their own
    assert point["mean_tpot_ms"] == pytest.approx(100)
    assert point["duration"] == pytest.approx(4.0)
    assert point["errors"] == {"500": 1}
    assert (found.requests["cached_tokens"] == 20).sum() == 2
    assert any("keeps 5 of the 9 requests" in flag for flag in found.flags)


def test_what_we_write_as_guidellm_comes_back(run: Run, tmp_path: Path) -> None:
    back = Run.load(exchange.write(run, tmp_path / "benchmarks.json", "guidellm"))
    for ours, theirs in zip(run.points, back.points, strict=True):
        for key in ("label", "completed", "failed"):
            assert theirs[key] == ours[key]
        for key in ("median_ttft_ms", "p99_e2el_ms", "mean_tpot_ms"):
            assert theirs[key] == pytest.approx(ours[key], rel=1e-4)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        "not json",
        '{"benchmarks": [], "metadata": {}}',
        '{"duration": 1}',
        '{"format": "llm-magics run", "schema": 99}',
    ],
)
def test_a_file_that_is_no_run_is_refused_in_words(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(SpecError, match="holds no run"):
        Run.load(path)


def test_places_that_cannot_be_read_or_written_are_refused_in_words(run: Run, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read"):
        Run.load(tmp_path / "none.json")
    with pytest.raises(SpecError, match="could not be written"):
        run.save(tmp_path / "none" / "run.json")
    with pytest.raises(SpecError, match=r"end the name in \.json"):
        run.save(tmp_path / "run.xlsx")


def test_a_real_file_of_aiperf_is_read() -> None:
    """Written by AIPerf 0.13 against the llama.cpp engine: 2 streams, 12 requests, 2 of warm-up."""
    theirs = [json.loads(line) for line in (HERE / "aiperf" / "profile_export.jsonl").read_text().splitlines()]
    kept = [each for each in theirs if each["metadata"]["benchmark_phase"] == "profiling"]
    found = Run.load(HERE / "aiperf" / "profile_export.jsonl")
    assert len(found.measured) == len(kept) == 12
    late = [each["metadata"]["request_start_ns"] - each["metadata"]["credit_issued_ns"] for each in kept]
    first = [each["metrics"]["time_to_first_token"]["value"] for each in kept]
    ours = sorted(found.requests["ttft"])
    assert ours == pytest.approx(sorted(ms / 1e3 + ns / 1e9 for ms, ns in zip(first, late, strict=True)), abs=1e-6)
    tokens = sum(each["metrics"]["usage_completion_tokens"]["value"] for each in kept)
    assert found.requests["output_tokens"].sum() == tokens
    assert any("AIPerf" in flag for flag in found.flags)
