"""SGLang for real, on a CPU; its GPU command lines before its own parser, which needs no GPU."""

from __future__ import annotations

import json
import subprocess

import conformance
import pytest

import llm_magics
from llm_magics import engines
from llm_magics.engines import environments, hardware
from llm_magics.engines.base import Place
from llm_magics.engines.sglang import LAUNCHER
from llm_magics.errors import LLMMagicsError
from llm_magics.spec import ServerSpec

pytestmark = [pytest.mark.engine("sglang"), pytest.mark.extra_engine]


def test_it_serves_counts_and_ends() -> None:
    server = llm_magics.serve("probe", engine="sglang", keep="cell", timeout=600.0)
    assert server.model == "tiny"
    conformance.speaks(server)
    assert conformance.stream(server, max_tokens=2).done
    conformance.keeps_lengths(server)
    conformance.counts(server)
    conformance.counts_prompts(server)
    conformance.wants_its_key(server)
    metrics = server.metrics()
    assert 0 <= metrics["kv_usage"] <= 1
    assert metrics["cached_tokens"] > 0, "the same prompt came again and again"
    conformance.is_measured(server)
    conformance.ends_while_streaming(server)


def test_a_wrong_flag_ends_in_the_engines_own_words() -> None:
    with pytest.raises(LLMMagicsError, match="--bogus"):
        llm_magics.serve("probe", engine="sglang", keep="cell", args=["--bogus"], timeout=600.0)


@pytest.mark.parametrize(
    ("speculative", "expected"),
    [
        (
            {"method": "ngram", "num_speculative_tokens": 4},
            {"speculative_algorithm": "NGRAM", "speculative_num_draft_tokens": 4},
        ),
        (
            {"method": "eagle", "num_speculative_tokens": 3, "model": "org/draft"},
            {
                "speculative_algorithm": "EAGLE", "speculative_num_steps": 3, "speculative_eagle_topk": 1,
                "speculative_num_draft_tokens": 4, "speculative_draft_model_path": "org/draft",
            },
        ),
    ],
)  # fmt: skip
def test_its_own_parser_takes_every_option_of_the_adapter(
    monkeypatch: pytest.MonkeyPatch, speculative: dict[str, object], expected: dict[str, object]
) -> None:
    engine = engines.get("sglang")
    executable = environments.locate(engine)
    assert executable
    monkeypatch.setattr(hardware, "has_gpu", lambda: True)
    spec = ServerSpec(
        name="s", engine="sglang", model="org/name", revision="main", tokenizer="org/t", served_model_name="n",
        dtype="half", quantization="awq", kv_cache_dtype="fp8", max_model_len=8192, gpu_memory_utilization=0.5,
        tensor_parallel_size=2, pipeline_parallel_size=3, data_parallel_size=4, max_num_seqs=8,
        max_num_batched_tokens=512, enable_prefix_caching=False, enable_chunked_prefill=False, load_format="dummy",
        seed=7, trust_remote_code=True, speculative=speculative, lora_modules={"one": "/x"},
        enable_sleep_mode=True, traces="http://127.0.0.1:4317",
    )  # fmt: skip
    assert set(spec.options) >= {*engine.options, "model"}, "every option of the adapter is tried"
    words = engine.command(Place(executable, "127.0.0.1", 8000, "org/name"), spec).argv
    assert words[1] == str(LAUNCHER)
    code = (
        "import json, runpy, sys\n"
        "runpy.run_path(sys.argv[1])\n"
        "from sglang.srt.server_args import prepare_server_args\n"
        "options = prepare_server_args(sys.argv[3:])\n"
        "print(json.dumps({name: getattr(options, name) for name in sys.argv[2].split(',')}, default=str))\n"
    )
    expected = {
        "model_path": "org/name", "revision": "main", "tokenizer_path": "org/t", "served_model_name": "n",
        "dtype": "half", "quantization": "awq", "kv_cache_dtype": "fp8_e4m3", "context_length": 8192,
        "mem_fraction_static": 0.5, "tp_size": 2, "pp_size": 3, "dp_size": 4, "max_running_requests": 8,
        "max_prefill_tokens": 512, "disable_radix_cache": True, "chunked_prefill_size": -1, "load_format": "dummy",
        "random_seed": 7, "trust_remote_code": True, "host": "127.0.0.1", "port": 8000, "enable_metrics": True,
        "enable_cache_report": True, "enable_lora": True, "lora_paths": ["one=/x"],
        "enable_trace": True, "otlp_traces_endpoint": "http://127.0.0.1:4317",
        "enable_memory_saver": True, "enable_weights_cpu_backup": True, **expected,
    }  # fmt: skip
    done = subprocess.run(
        [str(executable.python), "-c", code, words[1], ",".join(expected), *words[2:]],
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    parsed = json.loads(done.stdout.splitlines()[-1])
    assert {key: parsed.get(key) for key in expected} == expected


def test_the_parser_refuses_what_the_adapter_translates() -> None:
    """SGLang's own words for two of vLLM's: if it learned them, the translation could go."""
    executable = environments.locate(engines.get("sglang"))
    assert executable
    for words in (["--context-length", "32K"], ["--kv-cache-dtype", "fp8"], ["--pp", "2"]):
        code = (
            "import argparse, runpy, sys\nrunpy.run_path(sys.argv[1])\n"
            "from sglang.srt.server_args import ServerArgs\nparser = argparse.ArgumentParser()\n"
            "ServerArgs.add_cli_args(parser)\nparser.parse_args(sys.argv[2:])\n"
        )
        done = subprocess.run(
            [str(executable.python), "-c", code, str(LAUNCHER), "--model-path", "x", *words],
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 2, words


def test_its_pages_for_sleep_are_those_that_the_adapter_posts_to() -> None:
    executable = environments.locate(engines.get("sglang"))
    assert executable
    sleep = engines.get("sglang").sleep
    assert sleep
    code = (
        "import runpy, sys\nrunpy.run_path(sys.argv[1])\nfrom sglang.srt.entrypoints.http_server import app\n"
        "found = [route for route in app.routes if hasattr(route, 'methods')]\n"
        "print(*(f'{sorted(route.methods)} {route.path}' for route in found), sep='\\n')"
    )
    done = subprocess.run(
        [str(executable.python), "-c", code, str(LAUNCHER)], capture_output=True, text=True, check=True, timeout=300
    )
    for path, _ in (sleep.fall, sleep.wake):
        assert any("POST" in line and line.endswith(f" {path}") for line in done.stdout.splitlines()), path
