"""If these fail, servers that were started differently are compared without a word, or alike ones are accused."""

from __future__ import annotations

from typing import Any

import pytest
from synthetic import synthetic_run

from llm_magics.results.comparison import Comparison

SPEC: dict[str, Any] = {"name": "a", "engine": "vllm", "dtype": None, "quantization": None, "args": [], "port": 1}


def compared(
    one: dict[str, Any], other: dict[str, Any], work: dict[str, Any] | None = None, **headers: Any
) -> list[str]:
    a = synthetic_run(concurrency=[2], requests=12, header={"spec": {**SPEC, **one}})
    b = synthetic_run(concurrency=[2], requests=12, header={"spec": {**SPEC, **other}, **headers})
    for run in (a, b):
        run.header["workload"] = {**run.header["workload"], **(work or {})}
    return Comparison.of_runs({"A": a, "B": b}).flags


@pytest.mark.parametrize(
    ("option", "value"),
    [("quantization", "fp8"), ("dtype", "float16"), ("kv_cache_dtype", "fp8"), ("max_model_len", 4096)],
)
def test_what_makes_another_computation_is_named_for_any_two_engines(option: str, value: Any) -> None:
    for engine in ("vllm", "sglang"):
        found = compared({option: value}, {}, engine=engine)
        assert f"they differ in: {option} (A {value}, B left out)" in found


def test_settings_of_speed_are_named_within_one_engine_only() -> None:
    one = {"max_num_seqs": 8, "args": ["--x"]}
    assert "they differ in: max_num_seqs (A 8, B left out), args (A ['--x'], B left out)" in compared(one, {})
    assert not any("they differ in" in flag for flag in compared(one, {}, engine="sglang"))


def test_speculative_decoding_on_one_side_is_said() -> None:
    spec = {"speculative": {"method": "ngram", "num_speculative_tokens": 4}}
    assert "speculative decoding is not the same: A ngram, B none" in compared(spec, {})
    assert not any("speculative" in flag for flag in compared(spec, spec))


def test_other_models_are_said() -> None:
    assert "the models are not the same: A tiny, B large" in compared({}, {}, model="large")


def test_servers_that_were_started_alike_are_not_accused() -> None:
    found = compared({"port": 1, "name": "a"}, {"port": 2, "name": "b"})
    assert not any("differ in:" in flag or "models" in flag for flag in found)


def test_settings_that_are_not_known_are_not_guessed() -> None:
    found = compared({"quantization": "fp8"}, {}, spec=None)
    assert not any("differ in:" in flag for flag in found)


def test_a_temperature_left_to_the_servers_is_said_where_their_defaults_may_differ() -> None:
    left = {"temperature": None}
    word = "temperature is left to the servers"
    assert any(word in flag for flag in compared({}, {}, left, engine_version="0.33"))
    assert any(word in flag for flag in compared({}, {"args": ["--generation-config", "auto"]}, left))
    assert not any(word in flag for flag in compared({}, {}, left))
    assert not any(word in flag for flag in compared({}, {}, {"temperature": 0.0}, engine_version="0.33"))
