"""vLLM for real: the build for CPUs where there is no GPU, the same adapter as on one."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import conformance
import pytest

import llm_magics
from llm_magics import engines
from llm_magics.engines import environments
from llm_magics.engines.base import Executable, Place
from llm_magics.engines.launchers import triton_server
from llm_magics.errors import LaunchError, SpecError
from llm_magics.runtime.registry import Registry
from llm_magics.spec import ServerSpec

pytestmark = pytest.mark.engine("vllm")


def test_it_serves_counts_and_ends() -> None:
    server = llm_magics.serve("probe", engine="vllm", keep="cell", max_num_seqs=8, timeout=300.0)
    assert server.model == "tiny"
    conformance.speaks(server)
    conformance.keeps_lengths(server)
    conformance.counts(server)
    conformance.counts_prompts(server)
    conformance.wants_its_key(server)
    assert 0 <= server.metrics()["kv_usage"] <= 1
    conformance.is_measured(server)
    conformance.ends_while_streaming(server)


def test_a_cache_too_small_is_told_with_the_length_that_fits() -> None:
    with pytest.raises(LaunchError, match="256 tokens would fit") as told:
        llm_magics.serve(
            "probe", engine="vllm", keep="cell", args=["--kv-cache-memory-bytes", "1000000"], timeout=300.0, force=True
        )
    assert "max_model_len: 256" in told.value.then


OPTIONS: dict[str, Any] = {
    "model": "org/name", "revision": "main", "tokenizer": "org/t", "served_model_name": "n", "dtype": "half",
    "quantization": "awq", "kv_cache_dtype": "fp8", "max_model_len": 1024, "gpu_memory_utilization": 0.5,
    "tensor_parallel_size": 2, "pipeline_parallel_size": 3, "data_parallel_size": 4, "max_num_seqs": 8,
    "max_num_batched_tokens": 512, "enable_prefix_caching": False, "enable_chunked_prefill": False,
    "load_format": "dummy", "seed": 7, "trust_remote_code": True, "traces": "http://127.0.0.1:4317",
    "speculative": {"method": "ngram", "num_speculative_tokens": 4}, "lora_modules": {"a": "/x", "b": "org/y"},
}  # fmt: skip
# Read by vLLM itself, of one start of its interpreter, which imports for half a minute: command-line options, the
# arguments of an engine, the parameters of a request.
READS = """
import json, sys
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.sampling_params import SamplingParams
from vllm.utils.argparse_utils import FlexibleArgumentParser

arguments, sampling, *words = sys.argv[1:]
arguments, sampling = json.loads(arguments), json.loads(sampling)
options = make_arg_parser(FlexibleArgumentParser()).parse_args(words)
engine, request = AsyncEngineArgs(**arguments), SamplingParams(**sampling)
print(json.dumps({
    "options": {key: str(value) for key, value in vars(options).items()},
    "arguments": {key: getattr(engine, key) for key in arguments},
    "sampling": {key: getattr(request, key) for key in sampling},
}))
"""


def words_of_vllm() -> list[str]:
    """Every option of vLLM's adapter; also those that need several GPUs: a parser runs without any."""
    engine = engines.get("vllm")
    executable = environments.locate(engine)
    assert executable
    spec = ServerSpec(name="s", engine="vllm", **{**OPTIONS, "max_model_len": "auto"})
    assert {*spec.options, "enable_sleep_mode"} == {*engine.options, "model"}, "every option of the adapter is tried"
    words = engine.command(Place(executable, "127.0.0.1", 8000, "org/name"), spec).argv
    words += engine.options["enable_sleep_mode"].argv(True)  # refused for the build that is here, parsed all the same
    return words[words.index("--model") :]


def arguments_of_triton(folder: Path) -> str:
    """The `model.json` that Triton's launcher writes for its vLLM backend, with every option of Triton's adapter.

    The backend makes `AsyncEngineArgs` of it: `_init_engine_args` in src/model.py of
    triton-inference-server/vllm_backend 8de0c148bda1da25de1e05ffaaf67116dacc7264.
    """
    engine = engines.get("triton")
    spec = ServerSpec(name="s", engine="triton", **OPTIONS)
    assert set(spec.options) == {*engine.options, "model"}, "every option of the adapter is tried"
    words = engine.command(Place(Executable("1", python="python"), "127.0.0.1", 8000, "org/name"), spec).argv
    options, rest = triton_server.parser().parse_known_args(words[2:])
    assert all(word.startswith("--trace-config=") for word in rest), "the others are the launcher's own"
    triton_server._repository(folder, options.name, "vllm", triton_server._arguments(options))
    return (folder / "n" / "1" / "model.json").read_text(encoding="utf-8")


@cache
def read_by_vllm() -> dict[str, dict[str, Any]]:
    executable = environments.locate(engines.get("vllm"))
    assert executable
    sampling = {**engines.get("triton").fixed_length(8), "temperature": 0.0}
    env = {**os.environ, "HF_HUB_OFFLINE": "0"}  # else it looks for the model
    with TemporaryDirectory() as folder:
        said = [arguments_of_triton(Path(folder)), json.dumps(sampling), *words_of_vllm()]
    done = subprocess.run(
        [str(executable.python), "-c", READS, *said], env=env, capture_output=True, text=True, check=True, timeout=300
    )
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_its_own_parser_takes_every_option_of_the_adapter() -> None:
    parsed = read_by_vllm()["options"]
    assert parsed["enable_lora"] == "True"
    assert all(word in parsed["lora_modules"] for word in ("name='a'", "path='/x'", "name='b'", "path='org/y'"))
    expected = {
        "model": "org/name", "revision": "main", "tokenizer": "org/t", "served_model_name": "['n']", "dtype": "half",
        "quantization": "awq", "kv_cache_dtype": "fp8", "max_model_len": "-1", "gpu_memory_utilization": "0.5",
        "tensor_parallel_size": "2", "pipeline_parallel_size": "3", "data_parallel_size": "4", "max_num_seqs": "8",
        "max_num_batched_tokens": "512", "enable_prefix_caching": "False", "enable_chunked_prefill": "False",
        "load_format": "dummy", "seed": "7", "trust_remote_code": "True", "generation_config": "vllm",
        "enable_sleep_mode": "True", "otlp_traces_endpoint": "http://127.0.0.1:4317",
        "speculative_config": "{'method': 'ngram', 'num_speculative_tokens': 4}", "host": "127.0.0.1", "port": "8000",
    }  # fmt: skip
    assert {key: parsed[key] for key in expected} == expected


def test_its_engine_takes_every_argument_of_tritons_adapter() -> None:
    """Triton's vLLM backend hands them on as they are, and a request's parameters too."""
    read = read_by_vllm()
    elsewhere = {"served_model_name", "traces", "speculative", "lora_modules"}  # or under another name
    assert read["arguments"] == {
        **{name: value for name, value in OPTIONS.items() if name not in elsewhere},
        "speculative_config": OPTIONS["speculative"],
        "enable_lora": True,
    }
    assert read["sampling"] == {"max_tokens": 8, "min_tokens": 8, "ignore_eos": True, "temperature": 0.0}


def test_its_pages_for_sleep_are_those_that_the_adapter_posts_to() -> None:
    """On a CPU nothing is given back, but the pages are there and the state behind them is real."""
    with pytest.raises(SpecError, match="sleeps on GPUs only"):
        llm_magics.serve("probe", engine="vllm", enable_sleep_mode=True)
    server = llm_magics.serve("probe", engine="vllm", keep="cell", env={"VLLM_SERVER_DEV_MODE": "1"}, timeout=400.0)
    try:
        registry = Registry()
        registry.update("probe", lambda record: replace(record, spec={**record.spec, "enable_sleep_mode": True}))
        for step, asleep in ((server.sleep, True), (server.wake, False)):
            step()
            with conformance.open_(server, "/is_sleeping") as response:
                assert json.load(response) == {"is_sleeping": asleep}
            assert server.asleep is asleep
        assert conformance.stream(server, max_tokens=4).text
    finally:
        server.stop()
