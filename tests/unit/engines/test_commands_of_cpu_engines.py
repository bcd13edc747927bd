"""The command lines of SGLang, DeepSpeed and Triton; SGLang's own parser sees them in tests/engines."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from listening import Quiet, listening

from llm_magics import engines, models
from llm_magics.engines import hardware
from llm_magics.engines.base import Command, Executable, Place
from llm_magics.engines.metrics import read
from llm_magics.errors import SpecError
from llm_magics.spec import ServerSpec

VERSIONS = {"sglang": "0.5.23", "deepspeed": "0.19.8", "triton": "0.7.0"}
MODEL = str(models.path("tiny", "safetensors"))


def command(key: str, *, gpus_taken: tuple[int, ...] = (), binary: str | None = None, **options: Any) -> Command:
    executable = Executable(VERSIONS[key], python=None if binary else "/env/bin/python", binary=binary)
    spec = ServerSpec(name="s", engine=key, **options)
    return engines.get(key).command(Place(executable, "127.0.0.1", 8000, MODEL, gpus_taken), spec)


def value(command: Command, flag: str) -> str:
    assert command.argv.count(flag) == 1, command.argv
    return command.argv[command.argv.index(flag) + 1]


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "has_gpu", lambda: False)


@pytest.mark.parametrize("key", VERSIONS)
def test_each_is_bound_to_what_it_was_given_and_holds_no_secret(key: str) -> None:
    made = command(key, args=["--own", "1"])
    assert value(made, "--host") == "127.0.0.1"
    assert value(made, "--port") == "8000"
    assert made.argv[-2:] == ["--own", "1"]
    assert made.env["HF_HUB_OFFLINE"] == "1", "the shipped model is asked of no hub"
    assert made.env["OMP_NUM_THREADS"] == str(hardware.threads())
    assert not any("key" in word.lower() for word in made.argv)


@pytest.mark.parametrize("key", VERSIONS)
def test_an_automatic_context_is_the_models_own(key: str) -> None:
    assert not [word for word in command(key, max_model_len="auto").argv if word in ("--context-length", "auto")]
    with pytest.raises(SpecError, match="longer than the context of tiny, 2048"):
        command(key, max_model_len=4096)


def test_sglang_says_vllms_words_in_its_own() -> None:
    made = command("sglang", kv_cache_dtype="fp8", enable_prefix_caching=False, max_model_len=1024, seed=3)
    assert value(made, "--kv-cache-dtype") == "fp8_e4m3"
    assert value(made, "--context-length") == "1024"
    assert value(made, "--random-seed") == "3"
    assert "--disable-radix-cache" in made.argv
    assert "--disable-radix-cache" not in command("sglang", enable_prefix_caching=True).argv
    with pytest.raises(SpecError, match="'q8_0' is not one of fp8, auto"):
        command("sglang", kv_cache_dtype="q8_0")
    with pytest.raises(SpecError, match="'medusa' is not one of ngram"):
        command("sglang", speculative={"method": "medusa"})


def test_sglangs_steps_are_as_long_as_asked() -> None:
    """The bound on a batch alone lets one long prompt through whole, and its own chunks may be smaller than asked."""
    made = command("sglang", max_num_batched_tokens=512)
    assert value(made, "--max-prefill-tokens") == value(made, "--chunked-prefill-size") == "512"
    whole = command("sglang", enable_chunked_prefill=False, max_num_batched_tokens=512).argv
    assert whole.index("--chunked-prefill-size=-1") > whole.index("--chunked-prefill-size"), "its parser takes the last"


def test_sglang_is_bounded_on_a_cpu_and_free_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    made = command("sglang")
    assert value(made, "--device") == "cpu"
    assert value(made, "--mem-fraction-static") == "0.06"
    assert value(made, "--max-total-tokens") == "16384"
    shared = command("sglang", gpu_memory_utilization=0.5)
    assert value(shared, "--mem-fraction-static") == "0.5"
    assert "--max-total-tokens" not in shared.argv, "a cap would silently take the share back"
    monkeypatch.setattr(hardware, "has_gpu", lambda: True)
    free = command("sglang")
    assert not {"--device", "--mem-fraction-static", "--max-total-tokens"} & set(free.argv)
    assert value(command("sglang", gpus="none"), "--device") == "cpu"


def test_sglang_in_its_container_needs_no_file_of_ours() -> None:
    made = command("sglang", binary="python3")
    assert made.argv[:2] == ["python3", "-c"]
    assert "SGLANG_API_KEY" in made.argv[2]
    compile(made.argv[2], "inside", "exec")


def test_deepspeed_keeps_its_operators_where_nobody_else_compiles() -> None:
    made = command("deepspeed", max_num_seqs=2, load_format="dummy")
    assert made.env["TORCH_EXTENSIONS_DIR"] == "/env/torch_extensions_0.19.8"
    assert made.env["DS_ACCELERATOR"] == "cpu"
    assert value(made, "--max-num-seqs") == "2"
    with pytest.raises(SpecError, match="one process on one GPU"):
        command("deepspeed", gpus_taken=(0, 1))
    with pytest.raises(SpecError, match="has no option for tensor_parallel_size"):
        command("deepspeed", tensor_parallel_size=2)


@pytest.mark.parametrize("key", ["deepspeed", "triton"])
def test_the_launcher_takes_every_option_of_the_adapter(
    key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    import importlib
    from pathlib import Path

    import llm_magics.engines.launchers

    values: dict[str, Any] = {
        "revision": "r", "tokenizer": "t", "served_model_name": "n", "dtype": "bfloat16", "quantization": "awq",
        "kv_cache_dtype": "fp8", "max_model_len": 64, "gpu_memory_utilization": 0.5, "tensor_parallel_size": 2,
        "pipeline_parallel_size": 3, "max_num_seqs": 4, "max_num_batched_tokens": 5, "enable_prefix_caching": False,
        "enable_chunked_prefill": True, "load_format": "dummy", "seed": 6, "trust_remote_code": True,
        "data_parallel_size": 2, "speculative": {"method": "ngram", "num_speculative_tokens": 2},
        "lora_modules": {"a": "/x"},
    }  # fmt: skip
    options = set(engines.get(key).options) - {"traces"}  # said to tritonserver itself, behind the launcher's own
    made = command(key, **{name: values[name] for name in options})
    monkeypatch.syspath_prepend(str(Path(llm_magics.engines.launchers.__file__).parent))
    parsed = vars(importlib.import_module(f"{key}_server").parser().parse_args(made.argv[2:]))
    names = {"served_model_name": "name", "speculative": "speculative_config"} if key == "triton" else {}
    assert {name: parsed[names.get(name, name)] for name in options} == {name: values[name] for name in options}


def test_triton_serves_under_a_name_that_can_be_a_folder() -> None:
    engine = engines.get("triton")
    assert value(command("triton"), "--name") == "tiny"
    assert engine.served_name(ServerSpec(name="s", engine="triton", model="org/Name-7B"), "org/Name-7B") == "Name-7B"
    with pytest.raises(SpecError, match="cannot serve a model under the name"):
        command("triton", served_model_name="a/b")
    given = command("triton", binary="/opt/tritonserver/bin/tritonserver")
    assert value(given, "--tritonserver") == "/opt/tritonserver/bin/tritonserver"


def test_tritons_metrics_stand_two_ports_above(monkeypatch: pytest.MonkeyPatch) -> None:
    assert value(command("triton"), "--metrics-port") == "8002"

    class Page(Quiet, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.say('llm_generation_tokens_total{model="m"} 5\nllm_requests_running{model="m"} 1\n')

    with listening(Page) as server:
        url = f"http://127.0.0.1:{server.server_port - 2}"
        assert read(url, engines.get("triton")) == {"output_tokens": 5, "running": 1}


def test_a_client_of_openai_is_refused_for_triton_with_its_own_address(tmp_path: Any) -> None:
    from llm_magics.errors import TargetError
    from llm_magics.runtime.server import Server

    class Alive(Server):
        def _running(self) -> Any:
            from types import SimpleNamespace

            return SimpleNamespace(engine="triton", url="http://127.0.0.1:8000", served_model="tiny", asleep=False)

    with pytest.raises(TargetError, match="does not speak OpenAI's API") as told:
        _ = Alive("s").client
    assert "http://127.0.0.1:8000" in told.value.why
