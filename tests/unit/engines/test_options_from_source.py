"""TGI, TensorRT-LLM, Ollama and Triton's vLLM backend run on no machine of ours: what our adapters can say to them,
and read of Triton's answers, is held against their sources.

The names below were read there, in November 2026; each list says in which file of which commit.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from llm_magics import engines
from llm_magics.engines.base import Command, Engine, Executable, Place
from llm_magics.engines.launchers import triton_server
from llm_magics.errors import SpecError
from llm_magics.load import datasets
from llm_magics.load.endpoint import Endpoint
from llm_magics.load.probing import question
from llm_magics.load.prompts import Recipe
from llm_magics.load.protocol import PROTOCOLS, Generated
from llm_magics.load.words import Words
from llm_magics.spec import ServerSpec, Workload

# huggingface/text-generation-inference db931fcf42da018a3657580c64bf2720f167f9ab, launcher/src/main.rs, struct Args:
# field -> what its value is. Long names have dashes for underscores; every one is read from the environment too.
TGI = {
    "model_id": str, "revision": str, "num_shard": int, "quantize": "quantize", "speculate": int, "dtype": "dtype",
    "kv_cache_dtype": "kv_cache_dtype", "trust_remote_code": None, "max_concurrent_requests": int,
    "max_input_tokens": int, "max_total_tokens": int, "max_batch_prefill_tokens": int, "max_batch_total_tokens": int,
    "max_batch_size": int, "hostname": str, "port": int, "prometheus_port": int, "shard_uds_path": str,
    "cuda_memory_fraction": float, "otlp_endpoint": str, "api_key": str, "lora_adapters": str,
    "usage_stats": "usage_stats",
}  # fmt: skip
# The same file: enums Quantization, Dtype, KVCacheDtype and UsageStatsLevel as clap names their values.
TGI_VALUES = {
    "quantize": ["awq", "compressed-tensors", "eetq", "exl2", "gptq", "marlin", "bitsandbytes", "bitsandbytes-nf4",
                 "bitsandbytes-fp4", "fp8"],
    "dtype": ["float16", "bfloat16"],
    "kv_cache_dtype": ["fp8_e4m3fn", "fp8_e5m2"],
    "usage_stats": ["on", "off", "no-stack"],
}  # fmt: skip
# NVIDIA/TensorRT-LLM 00209af149e7774406881a37283dce303571eb11, tensorrt_llm/commands/serve.py, options of `serve`.
TRTLLM = {
    "--tokenizer": str, "--host": str, "--port": int, "--backend": str, "--max_batch_size": int,
    "--max_num_tokens": int, "--max_seq_len": int, "--tensor_parallel_size": int, "--tp_size": int,
    "--pipeline_parallel_size": int, "--pp_size": int, "--free_gpu_memory_fraction": float,
    "--kv_cache_free_gpu_memory_fraction": float, "--trust_remote_code": None, "--revision": str, "--config": str,
    "--extra_llm_api_options": str, "--enable_chunked_prefill": None, "--otlp_traces_endpoint": str,
}  # fmt: skip
# The same repository, tensorrt_llm/llmapi/llm_args.py of 1.2: keys of TorchLlmArgs, KvCacheConfig and the decodings;
# `lora_config` and `guided_decoding_backend` also in docs/source/features/lora.md (050db34) and guided-decoding.
TRTLLM_KEYS = {
    "dtype", "load_format", "return_perf_metrics", "enable_iter_perf_stats", "kv_cache_config", "speculative_config",
    "lora_config",
    "guided_decoding_backend",
}  # fmt: skip
# NVIDIA/TensorRT-LLM 037d4ba10931fbb9777d52fba06a9aef4b41acdd, tensorrt_llm/lora_helper.py: class LoraConfig.
TRTLLM_LORA = {
    "lora_dir", "lora_ckpt_source", "max_lora_rank", "lora_target_modules", "trtllm_modules_to_hf_modules",
    "max_loras", "max_cpu_loras", "swap_gate_up_proj",
}  # fmt: skip
TRTLLM_CACHE = {"enable_block_reuse", "dtype", "free_gpu_memory_fraction", "max_tokens", "tokens_per_block"}
TRTLLM_DECODING = {
    "decoding_type", "max_draft_len", "max_matching_ngram_size", "speculative_model", "num_nextn_predict_layers"
}  # fmt: skip
# ollama/ollama fb30760996871fa9460115c753afd2c60d4ab0f7, envconfig/config.go, AsMap.
OLLAMA = {
    "OLLAMA_CONTEXT_LENGTH", "OLLAMA_FLASH_ATTENTION", "OLLAMA_HOST", "OLLAMA_KEEP_ALIVE", "OLLAMA_KV_CACHE_TYPE",
    "OLLAMA_MAX_LOADED_MODELS", "OLLAMA_MODELS", "OLLAMA_NOPRUNE", "OLLAMA_NO_CLOUD", "OLLAMA_NUM_PARALLEL",
    "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES",
}  # fmt: skip
# triton-inference-server/vllm_backend 8de0c148bda1da25de1e05ffaaf67116dacc7264, src/model.py,
# `_auto_complete_inputs_and_outputs`: name -> type. The same stand in 00ea75bc67f48ad7c6283b1983620e1dbb1a9cfe.
TRITON_INPUTS = {
    "text_input": "TYPE_STRING", "image": "TYPE_STRING", "stream": "TYPE_BOOL", "sampling_parameters": "TYPE_STRING",
    "exclude_input_in_output": "TYPE_BOOL", "return_finish_reason": "TYPE_BOOL",
    "return_cumulative_logprob": "TYPE_BOOL", "return_logprobs": "TYPE_BOOL", "return_num_input_tokens": "TYPE_BOOL",
    "return_num_output_tokens": "TYPE_BOOL", "embedding_request": "TYPE_STRING",
}  # fmt: skip
TRITON_OUTPUTS = {
    "text_output": "TYPE_STRING", "finish_reason": "TYPE_STRING", "cumulative_logprob": "TYPE_FP32",
    "logprobs": "TYPE_STRING", "num_input_tokens": "TYPE_UINT32", "num_output_tokens": "TYPE_UINT32",
}  # fmt: skip
# The same, src/utils/vllm_backend_utils.py, `TritonSamplingParams`: what is no input is a field of vLLM's
# SamplingParams, which has these (tests/engines/test_vllm.py asks it).
TRITON_SAMPLING = {"max_tokens", "min_tokens", "ignore_eos", "temperature"}
# The same, src/utils/metrics.py, `TritonMetrics`.
TRITON_METRICS = {
    "vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:time_to_first_token_seconds",
    "vllm:time_per_output_token_seconds", "vllm:e2e_request_latency_seconds", "vllm:request_prompt_tokens",
    "vllm:request_generation_tokens", "vllm:request_params_n",
}  # fmt: skip

EVERY = {
    "revision": "main", "tokenizer": "org/t", "dtype": "bfloat16", "quantization": "awq", "kv_cache_dtype": "fp8",
    "max_model_len": 1024, "gpu_memory_utilization": 0.5, "tensor_parallel_size": 2, "pipeline_parallel_size": 2,
    "max_num_seqs": 8, "max_num_batched_tokens": 512, "enable_prefix_caching": False, "enable_chunked_prefill": True,
    "speculative": {"method": "ngram", "num_speculative_tokens": 4}, "load_format": "dummy",
    "lora_modules": {"a": "/x"}, "trust_remote_code": True, "traces": "http://127.0.0.1:4317",
}  # fmt: skip


def command(key: str, **options: Any) -> Command:
    spec = ServerSpec(name="s", engine=key, **{"model": "org/name", **options})
    place = Place(Executable("1", binary=f"/bin/{key}"), "127.0.0.1", 8000, spec.model)
    return engines.get(key).command(place, spec)


def having(engine: Engine, *leave_out: str) -> dict[str, Any]:
    return {name: value for name, value in EVERY.items() if name in engine.options and name not in leave_out}


def options(argv: list[str]) -> list[tuple[str, str | None]]:
    """Each option with the word after it, where that is no option."""
    pairs = zip(argv, [*argv[1:], "--"], strict=True)
    return [(word, None if after.startswith("--") else after) for word, after in pairs if word.startswith("--")]


def fits(kind: Any, value: str | None, choices: dict[str, list[str]]) -> bool:
    if kind is None or value is None:
        return kind is None and value is None
    if isinstance(kind, str):
        return value in choices[kind]
    try:
        kind(value)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("without", ["quantization", "dtype"])
def test_tgi_has_every_option_we_can_say(without: str) -> None:
    made = command("tgi", **having(engines.get("tgi"), without))
    said = options(made.argv)
    assert len(said) > 12
    for name, value in said:
        field = name[2:].replace("-", "_")
        assert field in TGI, name
        assert fits(TGI[field], value, TGI_VALUES), (name, value)
    assert made.env["PREFIX_CACHING"] == "false"
    assert dict(said)["--lora-adapters"] == "a=/x"
    assert int(dict(said)["--max-input-tokens"] or 0) < int(dict(said)["--max-total-tokens"] or 0)


def test_tgis_choices_are_all_of_its_own() -> None:
    tgi = engines.get("tgi")
    assert list(tgi.options["quantization"].choices) == TGI_VALUES["quantize"]
    with pytest.raises(SpecError, match="'gguf' is not one of"):
        command("tgi", quantization="gguf")
    with pytest.raises(SpecError, match="dtype or quantization"):
        command("tgi", quantization="awq", dtype="float16")
    with pytest.raises(SpecError, match="no option for load_format") as told:
        command("tgi", load_format="dummy")
    assert "vLLM" in told.value.why


def test_trtllm_has_every_option_we_can_say() -> None:
    engine = engines.get("tensorrt_llm")
    made = command("tensorrt_llm", **having(engine))
    for name, value in options(made.argv):
        assert fits(TRTLLM[name], value, {}), (name, value)
    (path, text), = made.files.items()  # fmt: skip
    assert made.argv[-2:] == ["--extra_llm_api_options", path]
    config = json.loads(text)
    assert set(config) <= TRTLLM_KEYS
    assert config["return_perf_metrics"] is True
    assert config["enable_iter_perf_stats"] is True  # metrics/collector.py: what runs and waits comes with it
    assert config["kv_cache_config"] == {"dtype": "fp8", "free_gpu_memory_fraction": 0.5, "enable_block_reuse": False}
    assert set(config["kv_cache_config"]) <= TRTLLM_CACHE
    assert config["speculative_config"] == {"decoding_type": "NGram", "max_draft_len": 4}
    assert config["lora_config"] == {"lora_dir": ["/x"], "max_loras": 1, "max_cpu_loras": 1}
    assert set(config["lora_config"]) <= TRTLLM_LORA
    assert "guided_decoding_backend" not in config, "not beside speculation"
    # In 1.2 the file wins over the line, in newer versions the line over the file: nothing may stand in both.
    assert not {"--kv_cache_free_gpu_memory_fraction", "--free_gpu_memory_fraction"} & set(made.argv)


@pytest.mark.parametrize(
    ("said", "config"),
    [
        ({"method": "draft_model", "model": "/d", "num_speculative_tokens": 3},
         {"decoding_type": "DraftTarget", "speculative_model": "/d", "max_draft_len": 3}),
        ({"method": "mtp", "num_speculative_tokens": 1}, {"decoding_type": "MTP", "num_nextn_predict_layers": 1}),
    ],
)  # fmt: skip
def test_trtllms_speculation(said: dict[str, Any], config: dict[str, Any]) -> None:
    (text,) = command("tensorrt_llm", speculative=said).files.values()
    assert json.loads(text)["speculative_config"] == config
    assert set(config) <= TRTLLM_DECODING


def adapter(folder: Path, **facts: Any) -> str:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", **facts}), encoding="utf-8")
    return str(folder)


def test_trtllm_is_told_of_its_adapters(tmp_path: Path) -> None:
    """A rank above its usual 64 is said; several must change the same modules, for it reads them of one folder."""
    modules = ["q_proj", "v_proj"]
    small = adapter(tmp_path / "small", r=8, target_modules=modules)
    large = adapter(tmp_path / "large", r=16, rank_pattern={"q_proj": 128}, target_modules=modules[::-1])
    (text,) = command("tensorrt_llm", lora_modules={"a": small, "b": large}).files.values()
    config = json.loads(text)
    assert config["lora_config"] == {"lora_dir": [small], "max_loras": 2, "max_cpu_loras": 2, "max_lora_rank": 128}
    assert set(config["lora_config"]) <= TRTLLM_LORA
    assert config["guided_decoding_backend"] == "xgrammar"
    assert set(config) <= TRTLLM_KEYS
    other = adapter(tmp_path / "other", r=8, target_modules=["q_proj"])
    with pytest.raises(SpecError, match=r"the same modules.*a: q_proj, v_proj; b: q_proj"):
        command("tensorrt_llm", lora_modules={"a": small, "b": other})
    with pytest.raises(SpecError, match=r"no adapter of PEFT's"):
        command("tensorrt_llm", lora_modules={"a": str(tmp_path)})


@pytest.mark.parametrize("key", ["transformers", "deepspeed"])
def test_engines_without_adapters_say_why_and_what_does_the_same(key: str) -> None:
    with pytest.raises(SpecError, match="no option for lora_modules") as told:
        engines.get(key).said(ServerSpec(name="s", engine=key, lora_modules={"a": "/x"}))
    assert "one" in told.value.why
    assert "engines that have it: " in told.value.why
    assert "merge_and_unload" in told.value.then


def test_trtllms_words_for_what_it_does_not_take() -> None:
    with pytest.raises(SpecError, match="method 'suffix' is not one of"):
        command("tensorrt_llm", speculative={"method": "suffix"})
    with pytest.raises(SpecError, match="no option for seed"):
        command("tensorrt_llm", seed=1)
    assert engines.get("tensorrt_llm").served_name(ServerSpec(name="s"), "/models/qwen") == "qwen"


def test_ollama_is_told_by_variables_it_knows() -> None:
    made = command("ollama", model="qwen3:0.6b", max_model_len=4096, max_num_seqs=8, kv_cache_dtype="q8_0")
    assert set(made.env) <= OLLAMA
    assert made.env["OLLAMA_HOST"] == "127.0.0.1:8000"
    assert (made.env["OLLAMA_CONTEXT_LENGTH"], made.env["OLLAMA_NUM_PARALLEL"]) == ("4096", "8")
    assert (made.env["OLLAMA_KV_CACHE_TYPE"], made.env["OLLAMA_FLASH_ATTENTION"]) == ("q8_0", "1")
    assert made.argv[made.argv.index("--") + 1 :] == ["/bin/ollama", "serve"]
    hidden = command("ollama", model="qwen3:0.6b", gpus="none")
    assert set(hidden.env) <= OLLAMA
    assert hidden.env["CUDA_VISIBLE_DEVICES"] == "-1"


@pytest.mark.parametrize(
    ("model", "name"),
    [("qwen3:0.6b", "qwen3:0.6b"), ("llama3", "llama3:latest"), ("hf.co/org/name-GGUF:Q4_K_M", "name-GGUF:Q4_K_M")],
)
def test_ollamas_names_have_their_tag_and_no_slash(model: str, name: str) -> None:
    """As `/v1/models` lists them, and as `/v1/models/NAME` can be asked for them."""
    spec, engine = ServerSpec(name="s", engine="ollama", model=model), engines.get("ollama")
    assert engine.served_name(spec, model) == name
    assert engine.ready_page(spec, model) == f"/v1/models/{name}"
    assert re.fullmatch(r"/v1/models/[\w.:-]+", engine.ready_page(spec, model))


def test_ollama_has_no_adapter_from_a_hub() -> None:
    with pytest.raises(SpecError, match="There is no LoRA adapter org/sql"):
        command("ollama", model="qwen3:0.6b", lora_modules={"sql": "org/sql"})
    inside = command("ollama", model="qwen3:0.6b", lora_modules={"sql": "/llm-magics/1/sql"})
    assert "/llm-magics/1/sql" in inside.argv, "a path inside a container is not looked for here"


def test_ollama_imports_a_file_into_a_place_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(b"GGUF")
    one = command("ollama", model=str(file)).env["OLLAMA_MODELS"]
    assert command("ollama", model=str(file)).env["OLLAMA_MODELS"] == one
    file.write_bytes(b"GGUF2")
    assert command("ollama", model=str(file)).env["OLLAMA_MODELS"] != one
    with pytest.raises(SpecError, match="takes no arguments"):
        command("ollama", model=str(file), args=["--x"])


def test_tritons_vllm_backend_has_every_field_that_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a measurement and by a comparison of answers; Triton takes what is no input for a parameter."""
    engine = engines.get("triton")
    endpoint = Endpoint(
        "http://h:1", "m", body=engine.body(), fixed_length=engine.fixed_length, protocol=PROTOCOLS[engine.protocol]
    )
    monkeypatch.setattr(
        datasets, "find_words", lambda *_, **__: Words(["a", "b"], ["a", "b"], 0, exact=True, how="usage")
    )
    made, _ = datasets.recipe(endpoint, Workload(input_tokens=4, output_tokens=3, temperature=0.0, requests=1), 1)
    sent = json.loads(Recipe(made, b"", 1).request(0, 0).payload.partition(b"\r\n\r\n")[2])
    assert set(sent) - set(TRITON_INPUTS) == TRITON_SAMPLING
    assert {name: sent[name] for name in ("stream", "exclude_input_in_output")} == {
        "stream": True, "exclude_input_in_output": True,  # src/utils/request.py refuses the one without the other
    }  # fmt: skip
    assert set(question(endpoint, "x", 1)) - set(TRITON_INPUTS) == {"max_tokens", "temperature"}


def test_tritons_vllm_backend_has_every_field_that_is_read() -> None:
    """src/utils/request.py, `create_response`: an array for each of n answers, the finish reason as `str` says it."""
    events = [
        {"text_output": " word", "finish_reason": "None", "num_input_tokens": 7, "num_output_tokens": 1},
        {"text_output": " word", "finish_reason": "length", "num_input_tokens": 7, "num_output_tokens": [2]},
    ]
    assert all(set(event) <= set(TRITON_OUTPUTS) for event in events)
    reply = Generated()
    reply.feed(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n", 1)
    for tick, event in enumerate(events, 2):
        data = b"data: " + json.dumps(event).encode() + b"\n\n"
        reply.feed(b"%x\r\n%s\r\n" % (len(data), data), tick)
    assert (reply.prompt_tokens, reply.output_tokens, reply.finish, len(reply.stamps)) == (7, 3, "length", 2)


def test_our_own_backend_of_tritons_has_its_names_and_types() -> None:
    inputs, outputs = triton_server.TENSORS.split("output [")
    for text, theirs in ((inputs, TRITON_INPUTS), (outputs, TRITON_OUTPUTS)):
        ours = dict(re.findall(r'name: "(\w+)" data_type: (\w+)', text))
        assert len(ours) >= 4
        assert ours.items() <= theirs.items()


def test_tritons_vllm_backend_has_every_metric_that_is_read() -> None:
    metrics = engines.get("triton").metrics
    assert metrics
    read = {name for names in metrics.names.values() for name in names if name.startswith("vllm:")}
    assert len(read) == 6
    assert {re.sub(r"_(sum|count)$", "", name) for name in read} <= TRITON_METRICS


@pytest.mark.parametrize(
    ("key", "line", "cause"),
    [
        ("tgi", "Not enough memory to handle 4096 prefill tokens. You need to decrease --max-batch-prefill-tokens",
         "no room for 4096 tokens"),
        ("tgi", "2026-01-08T10:00:00.000000Z ERROR text_generation_launcher: Shard 0 failed to start", "ran out of"),
        ("tensorrt_llm", "RuntimeError: Failed to bind socket to 127.0.0.1:8000: in use", "port 8000 is taken"),
        ("tensorrt_llm", "ValueError: No GPU devices found on the node", "no GPU"),
        ("ollama", "[llm-magics] failed: pull model manifest: file does not exist", "no such model"),
        ("ollama", "Error: listen tcp 127.0.0.1:8000: bind: address already in use", "port 8000 is taken"),
        ("vllm", "docker: Error response from daemon: pull access denied for x/y, repository does not exist",
         "no such image"),
        ("vllm", "docker: Error response from daemon: could not select device driver \"\" with capabilities: [[gpu]].",
         "cannot be given GPUs"),
        ("vllm", "Error response from daemon: Bind for 0.0.0.0:80 failed: port is already allocated", "port is taken"),
    ],
)  # fmt: skip
def test_failures_are_known(key: str, line: str, cause: str) -> None:
    found = engines.get(key).diagnose(["starting", line])
    assert found is not None
    assert cause in found.cause
    assert found.remedy
