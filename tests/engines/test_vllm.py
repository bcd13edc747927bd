"""vLLM for real: the build for CPUs where there is no GPU, the same adapter as on one."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace

import conformance
import pytest

import llm_magics
from llm_magics import engines
from llm_magics.engines import environments
from llm_magics.engines.base import Place
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
    conformance.ends_while_streaming(server)


def test_a_cache_too_small_is_told_with_the_length_that_fits() -> None:
    with pytest.raises(LaunchError, match="256 tokens would fit") as told:
        llm_magics.serve(
            "probe", engine="vllm", keep="cell", args=["--kv-cache-memory-bytes", "1000000"], timeout=300.0, force=True
        )
    assert "max_model_len: 256" in told.value.then


def test_its_own_parser_takes_every_option_of_the_adapter() -> None:
    """Also those that need several GPUs: the parser runs without any."""
    engine = engines.get("vllm")
    executable = environments.locate(engine)
    assert executable
    spec = ServerSpec(
        name="s", engine="vllm", model="org/name", revision="main", tokenizer="org/t", served_model_name="n",
        dtype="half", quantization="awq", kv_cache_dtype="fp8", max_model_len="auto", gpu_memory_utilization=0.5,
        tensor_parallel_size=2, pipeline_parallel_size=3, data_parallel_size=4, max_num_seqs=8,
        max_num_batched_tokens=512, enable_prefix_caching=False, enable_chunked_prefill=False, load_format="dummy",
        seed=7, trust_remote_code=True, speculative={"method": "ngram", "num_speculative_tokens": 4},
        lora_modules={"a": "/x", "b": "org/y"}, traces="http://127.0.0.1:4317",
    )  # fmt: skip
    assert {*spec.options, "enable_sleep_mode"} == {*engine.options, "model"}, "every option of the adapter is tried"
    words = engine.command(Place(executable, "127.0.0.1", 8000, "org/name"), spec).argv
    words += engine.options["enable_sleep_mode"].argv(True)  # refused for the build that is here, parsed all the same
    code = (
        "import json, sys\n"
        "from vllm.entrypoints.launchers.cli_args import make_arg_parser\n"
        "from vllm.utils.argparse_utils import FlexibleArgumentParser\n"
        "options = make_arg_parser(FlexibleArgumentParser()).parse_args(sys.argv[1:])\n"
        "print(json.dumps({key: str(value) for key, value in vars(options).items()}))\n"
    )
    done = subprocess.run(
        [str(executable.python), "-c", code, *words[words.index("--model") :]],
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    parsed = json.loads(done.stdout.splitlines()[-1])
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
