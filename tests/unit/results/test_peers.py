"""If these fail, what a format can hold does not survive it, or another tool's load is not the one it was asked for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import synthetic_run

from llm_magics.errors import SpecError
from llm_magics.results import exchange
from llm_magics.results.columns import Builder
from llm_magics.results.comparison import Comparison
from llm_magics.results.records import PointWindow
from llm_magics.results.run import Run
from llm_magics.results.run_rows import row_of
from llm_magics.views import tables

HERE = Path(__file__).parent
AIPERF = HERE / "aiperf"
MICRO = 1e-6

_micros = st.integers(0, 3_000_000).map(lambda each: each * MICRO)
_row = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["ok", "ok", "ok", "error", "cancelled"]),
        "warmup": st.just(False),
        "late": _micros,
        "ttft": _micros,
        "gaps": st.lists(st.integers(0, 400_000), max_size=6),
        "prompt_tokens": st.integers(1, 5000),
        "cached_tokens": st.one_of(st.none(), st.integers(0, 50)),
        "output_tokens": st.integers(1, 900),
        "error": st.sampled_from(["HTTP 500", "connection reset", 'said "no"']),
        "http_status": st.one_of(st.none(), st.sampled_from([429, 500])),
    }
)


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """A run of a few points whose requests are anything that can happen; at least one of each point is answered."""
    loads = draw(st.lists(st.sampled_from([("c", 1), ("c", 7), ("r", 2.5), ("r", 40.0)]), min_size=1, max_size=3, unique=True))  # fmt: skip  # noqa: E501
    points = [
        {"arrival": "concurrent", "concurrency": value, "label": f"{value} stream{'s' if value > 1 else ''}"}
        if kind == "c"
        else {"arrival": "poisson", "rate": value, "label": f"{value:g} req/s"}
        for kind, value in loads
    ]
    builder, windows, clock = Builder(), [], 0.0
    for number in range(len(points)):
        begin = clock
        for index, seen in enumerate(draw(st.lists(_row, min_size=1, max_size=6))):
            drawn = {**seen, "status": "ok"} if index == 0 else seen
            row = {key: drawn[key] for key in ("status", "warmup", "prompt_tokens", "cached_tokens")}
            intended, sent = clock, clock + drawn["late"]
            row |= {"point": number, "index": index, "intended": intended, "sent": sent}
            if drawn["status"] == "ok":
                first = sent + drawn["ttft"]
                last = first + sum(drawn["gaps"]) * MICRO
                row |= {"first_token": first, "last_token": last, "done": last, "gaps": drawn["gaps"]}
                row |= {"chunks": len(drawn["gaps"]) + 1, "output_tokens": drawn["output_tokens"]}
                clock = last
            else:
                row["done"] = clock = sent + drawn["ttft"]
                if drawn["status"] == "error":
                    row |= {"error": drawn["error"], "http_status": drawn["http_status"]}
            builder.add(row)
            clock += 0.001
        windows.append(PointWindow(number, 0, begin, clock - 0.001))
    header = {"name": "m", "label": "m", "model": "m", "engine": "vllm", "started": 1_790_000_000.0, "points": points}
    return Run({**header, "workload": {}}, builder.columns(), windows=windows)


def held(run: Run, *names: str) -> list[tuple[Any, ...]]:
    """Some columns of the answered requests, times to the microsecond, in the order of their sending."""
    frame = run.request_frame()
    frame = frame[frame["status"] == "ok"].sort_values(["point", "index"])
    rows = frame[list(names)].astype(object).where(frame[list(names)].notna(), None).to_numpy().tolist()
    return [tuple(round(each, 5) if isinstance(each, float) else each for each in row) for row in rows]


def close(one: list[tuple[Any, ...]], other: list[tuple[Any, ...]]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a == pytest.approx(b, abs=2e-5), (a, b)


@settings(max_examples=10, deadline=None)
@given(run=runs())
def test_aiperfs_jsonl_holds_requests_times_and_chunks(run: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    back = Run.load(run.save(tmp_path_factory.mktemp("x") / "run.jsonl"))
    assert [point["label"] for point in back.points] == [point["label"] for point in run.points]
    counts = ("completed", "failed", "cancelled", "errors", "total_input_tokens", "total_output_tokens")
    assert [[point[key] for key in counts] for point in back.points] == [
        [point[key] for key in counts] for point in run.points
    ]
    names = ("ttft", "e2e", "lag", "prompt_tokens", "output_tokens", "cached_tokens", "chunks")
    close(held(back, *names), held(run, *names))
    assert back.columns.gaps.tolist() == run.columns.gaps.tolist()
    assert back.columns.http_status.tolist() == run.columns.http_status.tolist()


@settings(max_examples=10, deadline=None)
@given(run=runs())
def test_vllm_benchs_json_holds_what_runs_from_the_dispatch(run: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    back = Run.load(exchange.write(run, tmp_path_factory.mktemp("x") / "run.json", "vllm"))
    assert [point["label"] for point in back.points] == [point["label"] for point in run.points]
    names = ("ttft", "e2e", "prompt_tokens", "output_tokens", "chunks")
    close(held(back, *names), held(run, *names))
    assert back.columns.gaps.tolist() == run.columns.gaps.tolist()


@settings(max_examples=10, deadline=None)
@given(run=runs())
def test_guidellms_json_holds_requests_and_their_times(run: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    back = Run.load(exchange.write(run, tmp_path_factory.mktemp("x") / "run.json", "guidellm"))
    assert [point["label"] for point in back.points] == [point["label"] for point in run.points]
    names = ("ttft", "e2e", "lag", "prompt_tokens", "output_tokens", "cached_tokens", "chunks")
    close(held(back, *names), held(run, *names))


@settings(max_examples=10, deadline=None)
@given(run=runs(), ending=st.sampled_from(["json", "csv", "parquet"]))
def test_our_own_files_hold_the_requests(run: Run, ending: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    back = Run.load(run.save(tmp_path_factory.mktemp("x") / f"run.{ending}"))
    names = ("ttft", "e2e", "tpot", "lag", "prompt_tokens", "output_tokens", "cached_tokens", "chunks", "index")
    close(held(back, *names), held(run, *names))
    assert back.columns.http_status.tolist() == run.columns.http_status.tolist()
    if ending == "json":
        assert back.points == run.points


def test_repetitions_and_conversations_survive_aiperfs_jsonl(tmp_path: Path) -> None:
    run = synthetic_run(concurrency=[2, 4], requests=6, repeats=2, warmup=1)
    back = Run.load(run.save(tmp_path / "run.jsonl"))
    assert [point["repeats"] for point in back.points] == [2, 2]
    assert back.columns.warmup.sum() == run.columns.warmup.sum() == 4
    for ours, theirs in zip(run.points, back.points, strict=True):
        assert theirs["mean_ttft_ms"] == pytest.approx(ours["mean_ttft_ms"], abs=1e-3)
        assert theirs["output_throughput"] == pytest.approx(ours["output_throughput"], rel=1e-5)


def test_what_we_write_as_aiperf_keeps_aiperfs_own_formulas(tmp_path: Path) -> None:
    """Its metrics run from the dispatch: a late send is in none of them, and ours still has it after the way back."""
    run = synthetic_run(concurrency=[2], requests=8)
    run.columns.sent[:] = run.columns.intended + 0.02
    path = run.save(tmp_path / "run.jsonl")
    for line in path.read_text().splitlines():
        each = json.loads(line)
        told, metrics = each["metadata"], {name: value["value"] for name, value in each["metrics"].items()}
        assert told["request_start_ns"] - told["credit_issued_ns"] == pytest.approx(2e7, abs=2)
        per_token = (metrics["request_latency"] - metrics["time_to_first_token"]) / (
            metrics["output_sequence_length"] - 1
        )
        assert metrics["inter_token_latency"] == pytest.approx(per_token)
    assert Run.load(path).points[0]["mean_lag_ms"] == pytest.approx(20)


def test_summaries_cannot_be_written_as_requests(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="only summaries"):
        Run.load(AIPERF / "profile_export_aiperf.json").save(tmp_path / "x.jsonl")


def test_aiperfs_load_is_taken_from_the_summary_beside_its_records() -> None:
    run = Run.load(AIPERF / "profile_export.jsonl")
    assert [point["label"] for point in run.points] == ["2 streams"]
    assert (run.name, run.header["source_version"]) == ("tiny", "0.13.0")
    assert not any("not in its records" in flag or "counted" in flag for flag in run.flags)


def test_without_its_summary_aiperfs_streams_are_counted_and_the_run_says_so(tmp_path: Path) -> None:
    path = Path(shutil.copy(AIPERF / "profile_export.jsonl", tmp_path))
    run = Run.load(path)
    assert run.points[0]["label"] == "2 streams"
    assert any("counted in its records" in flag for flag in run.flags)


@pytest.mark.parametrize("streams", [1, 4, 16])
def test_streams_are_counted_of_loops_and_not_of_rates(tmp_path: Path, streams: int) -> None:
    def labels(run: Run) -> list[str]:
        path = run.save(tmp_path / "run.jsonl")
        path.write_text(path.read_text().replace(run.points[0]["label"], "profiling"))
        return [point["label"] for point in Run.load(path).points]

    loop = synthetic_run(concurrency=[streams], requests=60, noise=0.2)
    assert labels(loop) == [f"{streams} stream{'s' if streams > 1 else ''}"]
    assert labels(synthetic_run(rate=[1.4 * streams], requests=60, noise=0.2)) == ["AIPerf profile"]


def test_a_summary_of_another_profile_is_not_believed(tmp_path: Path) -> None:
    shutil.copy(AIPERF / "profile_export.jsonl", tmp_path)
    other = json.loads((AIPERF / "profile_export_aiperf.json").read_text())
    other["request_count"]["avg"] = 13.0
    (tmp_path / "profile_export_aiperf.json").write_text(json.dumps(other))
    run = Run.load(tmp_path / "profile_export.jsonl")
    assert any("of another profile" in flag for flag in run.flags)
    assert "source_version" not in run.header


@pytest.mark.parametrize(
    ("phase", "label", "burstiness"),
    [
        ({"type": "poisson", "rate": 5.0}, "5 req/s", 1.0),
        ({"type": "gamma", "rate": 5.0, "smoothness": 0.5}, "5 req/s", 0.5),
        ({"type": "constant", "rate": 2.5}, "2.5 req/s", 1.0),
        ({"type": "concurrency"}, "1 stream", 1.0),
        ({"type": "user_centric", "rate": 3.0, "users": 4}, "AIPerf profile", 1.0),
    ],
)
def test_every_phase_of_aiperf_becomes_a_load(
    tmp_path: Path, phase: dict[str, Any], label: str, burstiness: float
) -> None:
    told = json.loads((AIPERF / "profile_export_aiperf.json").read_text())
    told["input_config"]["phases"] = [{"name": "profiling", "kind": "profiling", **phase}]
    (tmp_path / "x.json").write_text(json.dumps(told))
    run = Run.load(tmp_path / "x.json")
    assert run.points[0]["label"] == label
    assert run.asked[0]["burstiness"] == burstiness


def test_a_real_summary_of_aiperf_is_read() -> None:
    theirs = json.loads((AIPERF / "profile_export_aiperf.json").read_text())
    run = Run.load(AIPERF / "profile_export_aiperf.json")
    point = run.points[0]
    assert (point["label"], point["completed"], point["failed"]) == ("2 streams", 12, 0)
    assert point["mean_ttft_ms"] == theirs["time_to_first_token"]["avg"]
    assert point["p99_e2el_ms"] == theirs["request_latency"]["p99"]
    assert point["mean_tpot_ms"] == theirs["inter_token_latency"]["avg"]
    assert point["output_throughput"] == theirs["output_token_throughput"]["avg"]
    assert point["total_token_throughput"] == theirs["total_token_throughput"]["avg"]
    assert point["goodput"] is None
    assert run.requests.empty


def test_a_list_counts_the_failed_requests_of_a_summary_among_all(tmp_path: Path) -> None:
    told = json.loads((AIPERF / "profile_export_aiperf.json").read_text())
    told["error_request_count"] = {**told["request_count"], "avg": 30}
    (tmp_path / "profile_export_aiperf.json").write_text(json.dumps(told))
    run = Run.load(tmp_path / "profile_export_aiperf.json")
    assert (run.points[0]["completed"], run.points[0]["failed"]) == (12, 30)
    assert row_of(run).requests == 42
    assert "42 (30 failed)" in str(tables.runs([row_of(run)]))


def test_single_points_under_other_loads_are_compared_and_said_to_differ() -> None:
    mine = synthetic_run(concurrency=[4], requests=40)
    found = Comparison.of_runs({"mine": mine, "theirs": Run.load(AIPERF / "profile_export.jsonl")})
    assert found.points == ["4 streams / 2 streams"]
    assert not found.table.empty
    assert any(flag.startswith("the loads are not the same: mine 4 streams, theirs 2 streams") for flag in found.flags)
    assert mine.points[0]["label"] == "4 streams"  # the run itself is as it was
    summary = Comparison.of_runs({"mine": mine, "theirs": Run.load(AIPERF / "profile_export_aiperf.json")})
    assert summary.points == ["4 streams / 2 streams"]


def test_the_same_load_is_not_said_to_differ() -> None:
    mine = synthetic_run(concurrency=[2], requests=40)
    found = Comparison.of_runs({"mine": mine, "theirs": Run.load(AIPERF / "profile_export.jsonl")})
    assert found.points == ["2 streams"]
    assert not any("loads are not the same" in flag for flag in found.flags)


def test_several_points_are_not_guessed_at() -> None:
    sides = {"a": synthetic_run(concurrency=[1, 2], requests=10), "b": synthetic_run(concurrency=[4], requests=10)}
    assert Comparison.of_runs(sides).points == []


def test_a_real_file_of_sglangs_bench_serving_is_read() -> None:
    """Written by SGLang 0.5.23's Python client against the llama.cpp engine: 2 and 4 streams, with details."""
    theirs = [json.loads(line) for line in (HERE / "sglang_bench_serving.jsonl").read_text().splitlines()]
    run = Run.load(HERE / "sglang_bench_serving.jsonl")
    assert [point["label"] for point in run.points] == ["2 streams", "4 streams"]
    for ours, said in zip(run.points, theirs, strict=True):
        assert ours["output_throughput"] == said["output_throughput"]
        assert ours["total_token_throughput"] == said["total_throughput"]
        assert ours["p99_e2el_ms"] == said["p99_e2e_latency_ms"]
        assert ours["median_itl_ms"] == ours["p50_itl_ms"] == said["median_itl_ms"]
        assert (ours["completed"], ours["failed"], ours["num_prompts"]) == (12, 0, 12)
        assert ours["goodput"] is None
    assert run.requests.empty
    assert any("says not when each request was sent" in flag for flag in run.flags)


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ({"request_rate": 5.0, "max_concurrency": None}, "5 req/s"),
        ({"request_rate": float("inf"), "max_concurrency": None}, "all at once"),
        ({"request_rate": "trace", "max_concurrency": None}, "trace"),
    ],
)
def test_every_load_of_sglangs_client_has_its_name(tmp_path: Path, said: dict[str, Any], label: str) -> None:
    first = json.loads((HERE / "sglang_bench_serving.jsonl").read_text().splitlines()[0])
    (tmp_path / "x.jsonl").write_text(json.dumps({**first, **said, "slo_attainment": 0.5, "errors": ["", "bad", ""]}))
    point = Run.load(tmp_path / "x.jsonl").points[0]
    assert (point["label"], point["goodput"]) == (label, 0.5)


def test_a_real_report_of_guidellm_is_read() -> None:
    """Written by GuideLLM 0.8.1 against the llama.cpp engine (2 streams, 12 requests); texts and settings taken out."""
    metrics = json.loads((HERE / "guidellm_benchmarks.json").read_text())["benchmarks"][0]["metrics"]
    theirs = {name: each["successful"]["mean"] for name, each in metrics.items() if name != "request_totals"}
    run = Run.load(HERE / "guidellm_benchmarks.json")
    point = run.points[0]
    assert (run.name, point["label"], point["completed"]) == ("tiny", "2 streams", 12)
    assert point["mean_tpot_ms"] == pytest.approx(theirs["inter_token_latency_ms"])
    assert point["output_throughput"] == pytest.approx(theirs["output_tokens_per_second"])
    # ours run from the moment that was wanted; without the lag they are GuideLLM's
    assert point["mean_ttft_ms"] - point["mean_lag_ms"] == pytest.approx(theirs["time_to_first_token_ms"])
