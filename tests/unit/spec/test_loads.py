"""Ramps, stages, traces and conversations as people write them; what they mean, and what is said of what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from llm_magics.errors import SpecError
from llm_magics.spec import Workload
from llm_magics.spec.arrivals import Ramp, Window
from llm_magics.spec.reading import build, read_mapping


def work(body: str) -> Workload:
    return build(Workload, *read_mapping(body))


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    file = tmp_path / "trace.jsonl"
    file.write_text('{"timestamp": 0, "input_length": 5, "output_length": 2, "hash_ids": [0]}\n')
    return file


def test_a_ramp_is_one_point() -> None:
    found = work("rate: {from: 1, to: 16, duration: 60s, shape: exponential}")
    assert found.rate == [Ramp(1, 16, 60, "exponential")]
    (point,) = found.points
    assert (point.label, point.duration, point.arrival) == ("1 → 16 exponentially req/s", 60, "poisson")
    assert point.rate == pytest.approx(15 / 2.7725887)
    assert work("rate: [2, {from: 2, to: 8}]\nduration: 10s").points[1].duration == 10
    assert work("concurrency: {from: 1, to: 8, duration: 10s}").points[0].label == "1 → 8 streams"


def test_stages_are_points_that_say_so() -> None:
    found = work("stages:\n- {rate: 2, duration: 20s}\n- {rate: {from: 2, to: 8}, duration: 10s}\narrival: constant")
    assert [point.label for point in found.points] == ["stage 1: 2 req/s", "stage 2: 2 → 8 req/s"]
    assert [point.duration for point in found.points] == [20, 10]
    assert {point.arrival for point in found.points} == {"constant"}
    assert work("stages: [{rate: 2, duration: 1s}]\nburstiness: 0.5").points[0].arrival == "gamma"
    assert work("stages: [{concurrency: 4, duration: 1s}]").points[0].concurrency == 4


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("rate: {from: 1, too: 4, duration: 3s}", "Line 2: rate - a ramp has no 'too' (did you mean 'to'?)"),
        ("rate: {from: 1, to: 4}", "Line 2: rate: a ramp needs a duration, once"),
        ("rate: {from: 1, to: 4, duration: 3s}\nduration: 3s", "needs a duration, once"),
        ("rate: {from: 1, to: 4, duration: 3s}\nrequests: 3", "not by a number of requests"),
        ("rate: {from: 1, to: inf, duration: 3s}", "is not a rate"),
        ("rate: {from: 1, to: 4, duration: 3s, shape: lineer}", "(did you mean 'linear'?)"),
        ("concurrency: {from: 1.5, to: 4, duration: 3s}", "1.5 is not a number of streams"),
        ("concurrency: 2\nstages: [{rate: 2, durration: 3s}]", "stage 1 has no 'durration' (did you mean 'duration'?)"),
        ("stages: [{rate: 2}]", "Line 2: stages - stage 1 needs a duration"),
        ("stages: [{duration: 2s}]", "needs a rate or a concurrency"),
        ("stages: [{rate: 2, duration: 1s}, {concurrency: 2, duration: 1s}]", "all rates or all concurrencies"),
        ("stages: 4", "takes a list"),
        ("stages: [{rate: 2, duration: 1s}]\nrequests: 4", "Line 3: requests stands beside stages"),
        ("stages: [{concurrency: 2, duration: 1s}]\narrival: poisson", "does not go with concurrency"),
        ("workload: trace", "needs path: a Mooncake JSONL"),
        ("speed: 2", "Line 2: speed belongs to a trace"),
        ("arrival: trace", "Line 2: arrival: trace needs workload: trace"),
        ("think: 2s", "Line 2: think belongs to conversations"),
        ("conversations: 3", "Line 2: conversations belongs to conversations"),
        ("turns: 3\nconversations: 4\nrequests: 2", "Line 3: conversations and requests exclude each other"),
        ("turns: 3\nendpoint: completions", "Line 2: turns needs endpoint: chat"),
        ("turns: 2\nthink: [5s, 1s]", "the second time is the longer one"),
        ("images: 1\nendpoint: completions", "Line 2: images needs endpoint: chat"),
        ("image_size: 9x9", "Line 2: image_size belongs to images"),
        ("images: 1\nimage_size: wide", "image_size: wide - is not a size: write 512x512"),
        ("models: {a: 0}", "the weight of 'a' is 0"),
        ("models: 4", "takes {base: 0.5, adapter: 0.5}"),
        ("schema: {type: objekt}", "this is no JSON schema (at type)"),
        ("json_schema: nowhere.json", "cannot be read"),
        ("json_schema: {type: object}\nignore_eos: true", "Line 3: ignore_eos: true goes on after the JSON"),
        (
            "workload: prefix\nprefixes: [1, 8]\nprefix_tokens: [10, 20, 30]",
            "prefixes has 2 levels and prefix_tokens 3",
        ),
        ("text: sonnet", "Line 2: text does nothing for workload: random"),
    ],
)
def test_what_is_wrong_is_named(body: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        work(body)
    assert words in str(caught.value)


def test_a_trace_brings_its_own_times_or_takes_a_load(trace: Path) -> None:
    found = work(f"workload: trace\npath: {trace}\nspeed: 2\nwindow: {{from: 10m, to: 20m}}")
    assert [(point.label, point.arrival) for point in found.points] == [("trace x2", "trace")]
    assert found.window == Window(600, 1200)
    assert work(f"workload: trace\npath: {trace}\nconcurrency: 4").points[0].arrival == "concurrent"
    with pytest.raises(SpecError, match="speed belongs to a trace"):
        work(f"workload: trace\npath: {trace}\nconcurrency: 4\nspeed: 2")


def test_levels_of_prefixes() -> None:
    assert work("workload: prefix").levels == [(4, 256)]
    assert work("workload: prefix\nprefix_tokens: [256, 1024]\nprefixes: [1, 8]").levels == [(1, 256), (8, 1024)]
    assert work("workload: prefix\nprefixes: [2, 3]").levels == [(2, 256), (3, 256)]
    assert work("workload: random").levels == []


def test_shares_add_up_and_names_alone_are_equal() -> None:
    assert work("models: {base: 3, poet: 1}").models == {"base": 0.75, "poet": 0.25}
    assert work("models: [base, poet]").models == {"base": 0.5, "poet": 0.5}


def test_a_schema_is_a_mapping_a_file_or_a_model(tmp_path: Path) -> None:
    class Answer(BaseModel):
        ok: bool

    file = tmp_path / "schema.json"
    file.write_text('{"type": "object"}')
    assert work(f"schema: {file}").json_schema == {"type": "object"}
    assert build(Workload, {"schema": Answer}).json_schema["properties"]["ok"]["type"] == "boolean"
    assert not work("schema: {type: object}").full_length


def test_conversations_count_as_their_turns() -> None:
    assert work("turns: 5").starts_per_point == 10
    assert work("turns: 5\nrequests: 12").starts_per_point == 3
    assert work("turns: 5\nconversations: 7").starts_per_point == 7
    assert work("turns: 5\nduration: 3s").starts_per_point is None


@pytest.mark.parametrize(
    "options",
    [{"rate": {"from": 1, "to": 2, "duration": 1}}, {"stages": [{"rate": 1, "duration": 1}]}, {"models": ["a"]}],
)
def test_a_workload_is_built_again_from_what_was_written_down(options: dict[str, Any]) -> None:
    import json

    kept = json.loads(json.dumps(build(Workload, options).model_dump(mode="json")))
    assert kept["workload"] == "random"
