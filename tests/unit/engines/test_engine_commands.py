"""The exact command lines: a wrong flag here is an engine that does not start, or starts with another setting."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from llm_magics import engines, models
from llm_magics.engines import hardware
from llm_magics.engines.base import Command, Executable, Place
from llm_magics.errors import SpecError
from llm_magics.spec import ServerSpec

VERSIONS = {"llamacpp": "2026.10", "vllm": "0.32.0+cpu", "transformers": "5.23.0"}


def command(key: str, *, taken: tuple[int, ...] = (), executable: Executable | None = None, **options: Any) -> Command:
    spec = ServerSpec(name="s", engine=key, **options)
    engine = engines.get(key)
    model = str(models.path(spec.model, engine.model_format)) if models.is_shipped(spec.model) else spec.model
    executable = executable or Executable(VERSIONS[key], python="/env/bin/python")
    return engine.command(Place(executable, "127.0.0.1", 8000, model, taken), spec)


def value(command: Command, flag: str) -> str:
    assert command.argv.count(flag) == 1, command.argv
    return command.argv[command.argv.index(flag) + 1]


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "has_gpu", lambda: False)


@pytest.mark.parametrize("key", VERSIONS)
def test_every_server_is_bound_to_what_it_was_given(key: str) -> None:
    made = command(key)
    assert value(made, "--host") == "127.0.0.1"
    assert value(made, "--port") == "8000"
    assert made.argv[0] == "/env/bin/python"


@pytest.mark.parametrize("key", VERSIONS)
def test_args_come_last_so_that_they_win_and_env_is_the_users(key: str) -> None:
    made = command(key, args=["--own", "1"], env={"HF_HOME": "/x"})
    assert made.argv[-2:] == ["--own", "1"]
    assert made.env["HF_HOME"] == "/x"


def test_llamacpp_context_is_per_request_and_llamas_is_for_all_slots() -> None:
    made = command("llamacpp", max_model_len=1024, max_num_seqs=8)
    assert (value(made, "--ctx-size"), value(made, "--parallel")) == ("8192", "8")
    assert value(command("llamacpp"), "--parallel") == "4"
    auto = command("llamacpp", max_model_len="auto")
    assert value(auto, "--ctx-size") == "0"
    assert "--kv-unified" in auto.argv


def test_llamacpp_takes_vllms_words_and_its_own_for_the_cache() -> None:
    made = command("llamacpp", kv_cache_dtype="bfloat16", enable_prefix_caching=False, seed=7)
    assert value(made, "--cache-type-k") == value(made, "--cache-type-v") == "bf16"
    assert "--no-cache-prompt" in made.argv
    assert value(made, "--cache-ram") == "0"
    assert value(made, "--seed") == "7"
    assert value(command("llamacpp", kv_cache_dtype="q8_0"), "--cache-type-k") == "q8_0"
    with pytest.raises(SpecError, match=r"'fp8' is not one of auto.*q8_0"):
        command("llamacpp", kv_cache_dtype="fp8")


def test_llamacpp_says_the_same_to_a_binary() -> None:
    by_wheel = command("llamacpp", seed=1)
    by_binary = command("llamacpp", executable=Executable("b6", binary="/usr/bin/llama-server"), seed=1)
    assert by_binary.argv[0] == "/usr/bin/llama-server"
    assert by_binary.argv[1:] == by_wheel.argv[2:]
    hub = command("llamacpp", executable=Executable("b6", binary="/b"), model="org/name-GGUF:Q4_K_M")
    assert value(hub, "--hf-repo") == "org/name-GGUF:Q4_K_M"
    with pytest.raises(SpecError, match=r"and tinny is none \(did you mean 'tiny'\?\)\."):
        command("llamacpp", model="tinny")
    with pytest.raises(SpecError, match=r"serves local files, and org/name-GGUF:Q4_K_M is none\."):
        command("llamacpp", model="org/name-GGUF:Q4_K_M")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 3},
         "--spec-type ngram-simple --spec-ngram-simple-size-m 4 --spec-ngram-simple-size-n 3"),
        ({"method": "draft_model", "model": "/d.gguf", "num_speculative_tokens": 5},
         "--spec-type draft-simple --model-draft /d.gguf --spec-draft-n-max 5"),
        ({"method": "mtp", "num_speculative_tokens": 2}, "--spec-type draft-mtp --spec-draft-n-max 2"),
    ],
)  # fmt: skip
def test_llamacpp_speculates_by_the_binary(said: dict[str, Any], words: str) -> None:
    """Names from common/arg.cpp of llama.cpp, October 2026."""
    binary = Executable("b9000", binary="/usr/bin/llama-server")
    assert words in " ".join(command("llamacpp", executable=binary, speculative=said).argv)
    with pytest.raises(SpecError, match="wheel does no speculative decoding"):
        command("llamacpp", speculative=said)
    with pytest.raises(SpecError, match="method 'suffix' is not one of"):
        command("llamacpp", executable=binary, speculative={"method": "suffix"})


def test_vllm_loads_adapters_by_the_names_that_requests_use() -> None:
    made = command("vllm", lora_modules={"sql": "/a", "chat": "org/b"})
    at = made.argv.index("--enable-lora")
    assert made.argv[at : at + 4] == ["--enable-lora", "--lora-modules", "sql=/a", "chat=org/b"]


def test_the_launcher_takes_every_option_that_the_adapter_says() -> None:
    """One map of flags serves the wheel and the binary only while the launcher knows them all."""
    made = command(
        "llamacpp", max_model_len=512, max_num_seqs=2, max_num_batched_tokens=256, kv_cache_dtype="q8_0",
        enable_prefix_caching=True, seed=3, served_model_name="n", gpus="none",
    )  # fmt: skip
    launcher = _launcher()
    options = launcher.parser().parse_args(made.argv[2:])
    assert (options.alias, options.n_ctx, options.n_parallel, options.n_batch) == ("n", 1024, 2, 256)
    assert vars(options)["sampling.seed"] == 3
    assert options.endpoint_metrics is True
    assert options.n_gpu_layers == 0


def _launcher() -> Any:
    from llm_magics.engines.launchers import xllamacpp_server

    return xllamacpp_server


def test_the_launcher_writes_its_options_where_the_library_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = _launcher()
    monkeypatch.setenv("LLAMA_API_KEY", "secret")
    options = launcher.parser().parse_args(
        ["--model", "m.gguf", "-c", "4096", "-np", "2", "-t", "3", "-ctk", "q8_0", "-fa", "on", "--no-cache-prompt",
         "--temp", "0.5", "--alias", "a,b", "--port", "81"]
    )  # fmt: skip
    params = launcher.parameters(options)
    assert (params.model.path, params.n_ctx, params.n_parallel, params.port) == ("m.gguf", 4096, 2, 81)
    assert (params.cpuparams.n_threads, params.sampling.temp) == (3, 0.5)
    assert params.cache_type_k.name == "GGML_TYPE_Q8_0"
    assert params.flash_attn_type.name == "LLAMA_FLASH_ATTN_TYPE_ENABLED"
    assert params.cache_prompt is False
    assert params.model_alias == {"a", "b"}
    assert params.api_keys == ["secret"]


def test_no_prefix_caching_leaves_no_finished_prompt_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """llama.cpp keeps them (8 GiB of them by default) whatever `--no-cache-prompt` says."""
    xllamacpp, launcher = pytest.importorskip("xllamacpp"), _launcher()
    monkeypatch.delenv("LLAMA_API_KEY", raising=False)

    def cache(*said: bool) -> tuple[bool, int]:
        made = command("llamacpp", **({"enable_prefix_caching": said[0]} if said else {}))
        params = launcher.parameters(launcher.parser().parse_args(made.argv[2:]))
        return params.cache_prompt, params.cache_ram_mib

    usual = xllamacpp.CommonParams()
    assert cache() == cache(True) == (usual.cache_prompt, usual.cache_ram_mib)
    assert usual.cache_prompt
    assert usual.cache_ram_mib > 0
    assert cache(False) == (False, 0)
    own = command("llamacpp", enable_prefix_caching=False, args=["--cache-ram", "64"])
    assert launcher.parameters(launcher.parser().parse_args(own.argv[2:])).cache_ram_mib == 64
    old = Executable("b6000", binary="/b", flags=frozenset({*command("llamacpp").argv, "--no-cache-prompt"}))
    assert "--cache-ram" not in command("llamacpp", executable=old, enable_prefix_caching=False).argv


def test_the_launcher_refuses_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        _launcher().parser().parse_args(["--model", "m", "--bogus"])
    assert "unrecognized arguments: --bogus" in capsys.readouterr().err


def test_vllm_options_keep_their_names() -> None:
    made = command(
        "vllm", model="org/name", revision="main", tokenizer="org/t", dtype="half", quantization="awq",
        kv_cache_dtype="fp8", max_model_len="auto", gpu_memory_utilization=0.5, tensor_parallel_size=2,
        pipeline_parallel_size=2, data_parallel_size=2, max_num_seqs=8, max_num_batched_tokens=512,
        enable_prefix_caching=False, enable_chunked_prefill=True, load_format="dummy", seed=0, trust_remote_code=True,
        speculative={"method": "ngram", "num_speculative_tokens": 4},
    )  # fmt: skip
    flags = {
        "--revision": "main", "--tokenizer": "org/t", "--dtype": "half", "--quantization": "awq",
        "--kv-cache-dtype": "fp8", "--max-model-len": "auto", "--gpu-memory-utilization": "0.5",
        "--tensor-parallel-size": "2", "--pipeline-parallel-size": "2", "--data-parallel-size": "2",
        "--max-num-seqs": "8", "--max-num-batched-tokens": "512", "--load-format": "dummy", "--seed": "0",
        "--served-model-name": "org/name", "--generation-config": "vllm",
    }  # fmt: skip
    assert {flag: value(made, flag) for flag in flags} == flags
    assert json.loads(value(made, "--speculative-config")) == {"method": "ngram", "num_speculative_tokens": 4}
    assert "--no-enable-prefix-caching" in made.argv
    assert "--enable-chunked-prefill" in made.argv
    assert "--trust-remote-code" in made.argv


def test_vllm_on_a_cpu_is_bounded_and_eager_and_on_a_gpu_is_left_alone() -> None:
    cpu = command("vllm")
    assert "--enforce-eager" in cpu.argv
    assert value(cpu, "--kv-cache-memory-bytes") == str(256 * 2**20)
    assert value(cpu, "--served-model-name") == "tiny"
    assert cpu.env == {"VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    assert "--kv-cache-memory-bytes" not in command("vllm", gpu_memory_utilization=0.2).argv
    gpu = command("vllm", executable=Executable("0.33.0", python="/env/bin/python"), taken=(1,))
    assert "--enforce-eager" not in gpu.argv
    assert gpu.env["CUDA_VISIBLE_DEVICES"] == "1"
    assert gpu.env["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_vllms_build_for_cpus_refuses_gpus() -> None:
    with pytest.raises(SpecError, match="build for CPUs"):
        command("vllm", taken=(0,))


def test_transformers_is_bounded_on_a_cpu_and_pinned_to_its_path() -> None:
    made = command("transformers")
    assert "--continuous-batching" in made.argv
    assert value(made, "--cb-num-blocks") == "512"
    assert value(made, "--cb-max-batch-tokens") == "512"
    assert value(command("transformers", max_num_batched_tokens=64), "--cb-max-batch-tokens") == "64"
    shared = command("transformers", gpu_memory_utilization=0.2)
    assert value(shared, "--cb-max-memory-percent") == "0.2"
    assert "--cb-num-blocks" not in shared.argv, "a number of pages would silently take the share's place"
    engine, spec = engines.get("transformers"), ServerSpec(name="s", model="org/name", revision="v1")
    assert engine.served_name(spec, "org/name") == "org/name@v1"
    assert "org/name@v1" in command("transformers", model="org/name", revision="v1").argv
    with pytest.raises(SpecError, match="takes what follows an @"):
        command("transformers", model="org/na@me")


def test_transformers_on_a_gpu_takes_its_own_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "has_gpu", lambda: True)
    made = command("transformers", taken=(0,), gpu_memory_utilization=0.8)
    assert "--device" not in made.argv
    assert value(made, "--cb-max-memory-percent") == "0.8"


def test_an_option_an_engine_lacks_names_those_that_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecError, match=r"Transformers has no option for tensor_parallel_size") as told:
        command("transformers", tensor_parallel_size=2)
    assert "vLLM" in told.value.why
    monkeypatch.setattr(engines, "names", list)
    with pytest.raises(SpecError) as told:
        command("llamacpp", tensor_parallel_size=2)
    assert told.value.why == "no engine here has it"


@pytest.mark.parametrize("key", VERSIONS)
def test_gpus_none_hides_them(key: str) -> None:
    assert command(key, gpus="none").env["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.parametrize(
    ("key", "body"),
    [
        ("llamacpp", {"max_tokens": 5, "ignore_eos": True}),
        ("vllm", {"max_tokens": 5, "min_tokens": 5, "ignore_eos": True}),
        ("transformers", {"max_tokens": 5, "generation_config": '{"max_new_tokens": 5, "eos_token_id": -1}'}),
    ],
)
def test_bodies_of_fixed_length(key: str, body: dict[str, Any]) -> None:
    assert engines.get(key).fixed_length(5) == body


def test_only_engines_that_need_asking_are_asked_for_usage() -> None:
    asked = {key: bool(engines.get(key).body()) for key in VERSIONS}
    assert asked == {"llamacpp": True, "vllm": True, "transformers": False}


def test_a_context_longer_than_the_models_is_refused_before_the_start() -> None:
    with pytest.raises(SpecError, match="max_model_len 4096 is longer than the context of tiny, 2048"):
        command("llamacpp", max_model_len=4096)
    with pytest.raises(SpecError, match="2048"):
        command("vllm", max_model_len=4096)
    assert command("vllm", max_model_len=4096, env={"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"})
    assert command("llamacpp", max_model_len=4096, args=["--rope-freq-scale", "0.5"])


def test_the_launcher_lies_where_no_adapters_shadow_the_packages_they_describe() -> None:
    launcher = Path(command("llamacpp").argv[1])
    assert launcher.is_file()
    assert not {"vllm.py", "transformers.py"} & {each.name for each in launcher.parent.iterdir()}
    assert launcher.parent.as_posix() not in sys.path


def test_traces_are_said_to_engines_that_have_them_and_refused_for_the_others_by_name() -> None:
    where = "http://127.0.0.1:4317"
    assert value(command("vllm", traces=where), "--otlp-traces-endpoint") == where
    found = Executable("0.5.23", python="/env/bin/python")
    sglang = command("sglang", executable=found, traces=where)
    assert value(sglang, "--otlp-traces-endpoint") == where
    assert "--enable-trace" in sglang.argv
    triton = command("triton", executable=Executable("2.51", python="/env/bin/python"), traces=where)
    assert f"--trace-config=opentelemetry,url={where}" in triton.argv
    assert "--trace-config=rate=1" in triton.argv
    for key in ("llamacpp", "transformers"):
        with pytest.raises(SpecError, match="no option for traces") as told:
            command(key, traces=where)
        assert "vLLM, Text Generation Inference, TensorRT-LLM, SGLang, Triton" in told.value.why


@pytest.mark.parametrize("wrong", ["127.0.0.1:4317", "collector", "ftp://a", "http://me:secret@host:4317"])
def test_traces_go_to_an_address_without_a_password(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"collector|password") as told:
        ServerSpec(name="s", traces=wrong)
    assert "write http://HOST:4317" in str(told.value) or "OTEL_EXPORTER_OTLP_HEADERS" in str(told.value)
