"""The fit check against published numbers and what engines themselves report: a wrong one sends people to buy GPUs."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from llm_magics.advice import models_known, weights
from llm_magics.advice.architectures import of_config, of_gguf
from llm_magics.advice.balance import GIB, Balance, Demand, Device, cache_bytes, per_token
from llm_magics.advice.fit import fit, judged, this_machine
from llm_magics.advice.gpus_known import known, memory
from llm_magics.advice.model_facts import ModelFacts, facts
from llm_magics.errors import SpecError

LOGS = Path(__file__).parent / "logs"
CLOSE = 0.0012  # what docs/choosing.md says of vLLM's figures on a CPU
H100 = Device("H100", round(79.6 * GIB))


def architecture(name: str):
    return of_config(models_known.CONFIGS[name])


@pytest.mark.parametrize(
    ("name", "bytes_per_token", "gib_of_8192"),
    [
        ("Qwen/Qwen3-0.6B", 114_688, 0.875),
        ("Qwen/Qwen2.5-7B", 57_344, 0.4375),
        ("meta-llama/Llama-3.1-8B", 131_072, 1.0),
        ("mistralai/Mistral-7B-v0.3", 131_072, 1.0),
        ("mistralai/Mixtral-8x7B-v0.1", 131_072, 1.0),
        ("Qwen/Qwen3-8B", 147_456, 1.125),
        ("meta-llama/Llama-3.1-70B", 327_680, 2.5),
        ("deepseek-ai/DeepSeek-V3", 70_272, 70_272 * 8192 / GIB),
        ("google/gemma-3-12b-it", 65_536, 0.8125),
    ],
)
def test_cache_of_a_token_is_the_published_arithmetic(name: str, bytes_per_token: int, gib_of_8192: float) -> None:
    own = architecture(name)
    assert per_token(own, "bfloat16") == bytes_per_token
    assert cache_bytes(own, 8192, "bfloat16") == gib_of_8192 * GIB
    if not name.startswith("deepseek"):
        assert cache_bytes(own, 8192, "fp8") * 2 == cache_bytes(own, 8192, "bfloat16")


def test_latent_attention_is_the_same_on_every_gpu_and_has_types_of_its_own() -> None:
    own = architecture("deepseek-ai/DeepSeek-V3")
    assert per_token(own, "bfloat16", tensor=8) == 70_272
    assert per_token(own, "fp8_ds_mla") == 40_016
    assert per_token(own, "nvfp4_ds_mla") == 21_472


def test_sliding_layers_stop_growing_at_their_window() -> None:
    own = architecture("google/gemma-3-12b-it")
    assert [layer.kind for layer in own.layers].count("sliding") == 40
    assert cache_bytes(own, 32_768, "bfloat16") / GIB == pytest.approx(2.3125)
    assert cache_bytes(own, 512, "bfloat16") == 512 * (65_536 + 327_680)


def test_what_a_step_has_in_flight_is_added_once_for_sliding_layers() -> None:
    model = facts("google/gemma-3-12b-it")
    # 40 sliding layers x 8192 tokens of a step x 8 heads x (256 + 256) values x 2 bytes
    assert Balance(model, Demand(batched_tokens=8192), H100).in_flight(32_768) == 2_684_354_560
    assert Balance(model, Demand(batched_tokens=8192, tensor=16), H100).in_flight(32_768) == 2_684_354_560 // 8
    assert Balance(model, Demand(batched_tokens=8192), H100).in_flight(1024) == 0
    assert Balance(facts("meta-llama/Llama-3.1-8B-Instruct"), Demand(), H100).in_flight(32_768) == 0
    asked = Balance(model, Demand(context=32_768), H100)
    assert asked.tokens_in_cache == int(asked.concurrency(32_768) * 32_768)


def test_heads_are_divided_among_gpus_down_to_one() -> None:
    own = architecture("meta-llama/Llama-3.1-70B")
    assert [per_token(own, "bfloat16", tensor=size) for size in (1, 2, 8, 16)] == [327_680, 163_840, 40_960, 40_960]
    assert per_token(own, "bfloat16", tensor=2, pipeline=2) == 81_920


# Numbers of parameters as the hub shows them (safetensors metadata), without multi-token prediction and vision towers.
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Qwen/Qwen3-0.6B", 596_049_920),
        ("Qwen/Qwen3-8B", 8_190_735_360),
        ("Qwen/Qwen2.5-7B-Instruct", 7_615_616_512),
        ("meta-llama/Llama-3.1-8B", 8_030_261_248),
        ("meta-llama/Llama-3.1-70B", 70_553_706_496),
        ("mistralai/Mistral-7B-v0.3", 7_248_023_552),
        ("mistralai/Mixtral-8x7B-v0.1", 46_702_792_704),
        ("deepseek-ai/DeepSeek-V3", 671_026_419_200),
        ("google/gemma-3-12b-it", 11_766_034_176),
    ],
)
def test_parameters_are_counted_to_the_last_one(name: str, parameters: int) -> None:
    counted = architecture(name).parameters
    assert counted is not None
    assert counted.total == parameters


def logged(name: str, pattern: str) -> int:
    found = re.search(pattern, (LOGS / name).read_text())
    assert found
    return int(found[1].replace(",", ""))


@pytest.mark.parametrize(("log", "share"), [("vllm-h100", None), ("vllm-h100-half", 0.5)])
def test_weights_and_cache_are_what_vllm_had_on_a_gpu(log: str, share: float | None, tmp_path: Path) -> None:
    """vLLM 0.26 on an H100 with 81,559 MiB (NVML), 7 billion weights: compiled with its graphs; then eager, on half."""
    config = json.loads((LOGS / "random-7b-config.json").read_text())
    own = Balance(
        facts(folder(tmp_path, config)), Demand(context=4096, share=share), Device("H100", 81_559 << 20, capability=9.0)
    )
    weights = re.search(r"loading took ([\d.]+) GiB", (LOGS / f"{log}.log").read_text())
    assert weights
    assert own.weights / GIB == pytest.approx(float(weights[1]), rel=0.01)
    assert own.tokens_in_cache == pytest.approx(logged(f"{log}.log", r"KV cache size: ([\d,]+) tokens"), rel=0.08)
    assert own.batched_tokens == logged(f"{log}.log", r"max_num_batched_tokens=(\d+)")


@pytest.mark.parametrize(
    ("family", "context"), [("tiny", 1024), ("qwen3", 2048), ("mixtral", 2048), ("gemma3", 2048), ("deepseek", 2048)]
)
def test_cache_size_agrees_with_vllm(family: str, context: int, tmp_path: Path) -> None:
    """vLLM 0.32 on a CPU, 256 MiB, a small model of each kind: plain, grouped heads, experts, windows, MLA.

    The tokens that it prints are its concurrency times the context (`get_kv_cache_capacity` in
    `v1/core/kv_cache_utils.py`): with windows too few, for it counts each sequence with a whole step in flight.
    """
    log = f"vllm-{family}.log"
    known = of_family(family, tmp_path)
    empty = Balance(known, Demand(context=context, batched_tokens=2048), Device("cpu", 0, "cpu"))
    balance = replace(empty, device=Device("cpu", (256 << 20) - empty.room, "cpu"))
    assert balance.room == 256 << 20
    tokens = logged(log, r"KV cache size: ([\d,]+) tokens")
    said = re.search(r"for ([\d,]+) tokens per request: ([\d.]+)x", (LOGS / log).read_text())
    assert said
    assert int(said[1].replace(",", "")) == context
    counted = balance.vllm_says(context, block=128)
    assert counted == pytest.approx(float(said[2]), rel=CLOSE)
    assert counted * context == pytest.approx(tokens, rel=CLOSE)
    if any(layer.kind == "sliding" for layer in known.architecture.layers):
        assert balance.tokens_in_cache > 3 * tokens
    else:
        assert balance.tokens_in_cache == pytest.approx(tokens, rel=CLOSE)


def test_cache_size_agrees_with_llamacpp() -> None:
    """llama.cpp (xllamacpp 2026.10.11549) on a CPU, the shipped model, 8 slots of 2,048 tokens."""
    log = "llamacpp-tiny.log"
    found = re.search(r"size =\s*([\d.]+) MiB \(\s*(\d+) cells,\s*\d+ layers,\s*(\d+)/", (LOGS / log).read_text())
    assert found
    assert int(found[2]) * int(found[3]) == logged(log, r"n_ctx +=\s*(\d+)") == 8 * 2048
    assert cache_bytes(facts("tiny").architecture, 8 * 2048, "f16") / (1 << 20) == float(found[1])


@pytest.mark.parametrize("family", ["tiny", "qwen3", "mixtral", "gemma3", "deepseek"])
def test_cache_size_agrees_with_sglang(family: str, tmp_path: Path) -> None:
    """SGLang 0.5.23 on a CPU, 400,000 tokens: it says how many GiB (to two places) its cache of them takes.

    On a CPU it keeps the sliding layers of Gemma 3 whole, as it does wherever its hybrid cache is off.
    """
    known = of_family(family, tmp_path)
    log = (LOGS / f"sglang-{family}.log").read_text()
    sizes = [float(size) for size in re.findall(r"(?:K|V|KV) size: ([\d.]+) GB", log)]
    tokens = int(re.findall(r"#tokens: (\d+)", log)[0])
    layers = known.architecture.layers
    kept = tuple(replace(each, kind="full") if each.kind == "sliding" else each for each in layers)
    whole = replace(known.architecture, layers=kept)
    assert tokens * per_token(whole, "bfloat16") / GIB == pytest.approx(sum(sizes), rel=0.03)


def of_family(family: str, tmp_path: Path) -> ModelFacts:
    """The small model of a log: the shipped one, or one with the configuration beside it."""
    if family == "tiny":
        return facts("tiny")
    return facts(folder(tmp_path, json.loads((LOGS / f"{family}-config.json").read_text())))


def folder(tmp_path: Path, config: dict, **files: object) -> str:
    (tmp_path / "config.json").write_text(json.dumps(config))
    for name, content in files.items():
        (tmp_path / name.replace("__", ".")).write_text(json.dumps(content))
    return str(tmp_path)


LLAMA = {
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 4096,
}  # fmt: skip


def test_weights_are_what_the_index_says(tmp_path: Path) -> None:
    where = folder(tmp_path, LLAMA)
    (tmp_path / "model.safetensors.index.json").write_text('{"metadata": {"total_size": 123456}}')
    assert facts(where).weights() == (123456, "model.safetensors.index.json")


def test_weights_are_measured_in_the_headers_of_files(tmp_path: Path) -> None:
    header = b'{"a":{"dtype":"BF16","shape":[5],"data_offsets":[0,10]}}'
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(10))
    assert facts(folder(tmp_path, LLAMA)).weights()[0] == 10
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 40) + header)
    with pytest.raises(SpecError, match="cannot be told"):
        facts(str(tmp_path))


def test_shipped_model_is_measured_as_it_is_built() -> None:
    found = facts("tiny")
    counted = found.architecture.parameters
    assert counted is not None
    assert found.weights()[0] == counted.total * 2
    assert found.weights("float32")[0] == counted.total * 4


@pytest.mark.parametrize(
    ("config", "bits"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, 4.16),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, 4.16),
        ({"quant_method": "fp8"}, 8.0),
        ({"quant_method": "mxfp4"}, 4.25),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, 4.5),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, 4.5),
        ({"quant_method": "compressed-tensors",
          "config_groups": {"group_0": {"weights": {"num_bits": 8, "strategy": "channel"}}}}, 8.0),
        ({}, None),
    ],
)  # fmt: skip
def test_bits_of_quantized_checkpoints(config: dict, bits: float | None) -> None:
    found = weights.of_quantization(config)[0]
    assert found is None if bits is None else found == pytest.approx(bits, abs=0.01)


@pytest.mark.parametrize("name", ["awq", "gptq_marlin"])
def test_a_quantization_that_only_a_checkpoint_has_is_estimated_and_said_to_be(name: str, tmp_path: Path) -> None:
    """Asked of an unquantized model: what its sibling would take, not what this one does; a quantized one is itself."""
    index = {"metadata": {"total_size": 16_000_000_000}, "weight_map": {}}
    plain = facts(folder(tmp_path, LLAMA, **{"model.safetensors.index.json": index}))
    assert plain.weights()[0] == 16_000_000_000
    estimated, said = plain.weights(quantization=name)
    assert plain.architecture.parameters is not None
    own = {**LLAMA, "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}}
    (tmp_path / "quantized").mkdir()
    assert estimated == facts(folder(tmp_path / "quantized", own)).weights()[0]
    assert estimated < plain.architecture.parameters.total * 2 / 2
    assert "4.16 bits" in said
    (unknown,) = plain.unknown(name)
    assert f"a checkpoint of {plain.name} in {name}" in unknown
    assert "estimated" in unknown
    there = facts(folder(tmp_path, own, **{"model.safetensors.index.json": index}))
    assert there.weights(quantization="awq")[0] == 16_000_000_000
    assert not there.unknown("awq")


def test_gguf_file_is_measured_and_read() -> None:
    from llm_magics import models

    path = models.path("tiny", "gguf")
    found = facts(str(path))
    assert found.format == "gguf"
    assert found.weights()[0] == path.stat().st_size
    assert per_token(found.architecture, "f16") == per_token(facts("tiny").architecture, "bfloat16") == 2048
    assert per_token(found.architecture, "q8_0") == 2048 // 2 * 34 // 32


def test_gguf_with_sliding_layers_and_with_latent_attention() -> None:
    gemma = {
        "general.architecture": "gemma3", "gemma3.block_count": 6, "gemma3.embedding_length": 64,
        "gemma3.attention.head_count": 4, "gemma3.attention.head_count_kv": 2, "gemma3.attention.key_length": 8,
        "gemma3.attention.value_length": 8, "gemma3.attention.sliding_window": 128,
    }  # fmt: skip
    assert [layer.kind for layer in of_gguf(gemma).layers] == ["sliding"] * 5 + ["full"]
    deepseek = {
        "general.architecture": "deepseek2", "deepseek2.block_count": 3, "deepseek2.embedding_length": 64,
        "deepseek2.attention.head_count": 4, "deepseek2.attention.head_count_kv": 1,
        "deepseek2.attention.key_length": 576, "deepseek2.attention.value_length": 512,
        "deepseek2.attention.kv_lora_rank": 512, "deepseek2.attention.key_length_mla": 192,
    }  # fmt: skip
    assert per_token(of_gguf(deepseek), "f16") == 3 * 576 * 2


@pytest.mark.parametrize(
    ("extra", "kinds"),
    [
        ({}, ["full", "full"]),
        ({"model_type": "mistral", "sliding_window": 1024}, ["sliding", "sliding"]),
        ({"model_type": "qwen2", "sliding_window": 1024, "use_sliding_window": False}, ["full", "full"]),
        ({"model_type": "gemma2", "sliding_window": 1024}, ["sliding", "full"]),
        ({"layer_types": ["linear_attention", "full_attention"]}, ["state", "full"]),
        ({"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 8}, ["sliding", "full"]),
        ({"kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8}, ["latent", "latent"]),
    ],
)
def test_kinds_of_layers(extra: dict, kinds: list[str]) -> None:
    assert [layer.kind for layer in of_config({**LLAMA, **extra}).layers] == kinds


def test_configuration_inside_text_config_is_found() -> None:
    own = of_config({"model_type": "gemma3", "text_config": LLAMA, "vision_config": {}})
    assert own.context == 4096
    assert any("vision" in note for note in own.notes)


def test_what_is_no_language_model_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be told") as error:
        fit(folder(tmp_path, {"model_type": "clip"}), device=H100)
    assert "num_hidden_layers" in error.value.why


def test_large_model_names_how_many_gpus_and_every_remedy_works() -> None:
    found = fit("meta-llama/Llama-3.1-70B", device=H100)
    assert not found.fits
    assert found.gpus_needed == 4
    assert "tensor_parallel_size: 4" in found.remedies
    on_four = replace(found.balance, demand=replace(found.balance.demand, tensor=4))
    assert judged(on_four).fits
    shorter = next(int(remedy.split("max_model_len: ")[1].split()[0]) for remedy in found.remedies if "fp8" in remedy)
    changed = replace(found.balance, demand=Demand(quantization="fp8", context=shorter))
    assert changed.fits


def test_context_that_is_too_long_gets_the_longest_that_fits() -> None:
    found = fit("meta-llama/Llama-3.1-8B", device=Device("RTX-4090", round(23.6 * GIB)))
    assert not found.fits
    length = int(found.remedies[0].removeprefix("max_model_len: "))
    assert fit("meta-llama/Llama-3.1-8B", device=found.balance.device, demand=Demand(context=length)).fits
    assert not fit("meta-llama/Llama-3.1-8B", device=found.balance.device, demand=Demand(context=length + 2048)).fits


@pytest.mark.parametrize(
    ("gpu", "eight_bits", "awq"), [("H100", True, True), ("A100", False, True), ("V100", False, False)]
)
def test_no_remedy_is_of_a_format_that_the_gpu_does_not_compute(gpu: str, eight_bits: bool, awq: bool) -> None:
    said = " ".join(fit("meta-llama/Llama-3.1-70B", device=this_machine(gpu)).remedies)
    said += " ".join(fit("Qwen/Qwen3-8B", device=this_machine(gpu), demand=Demand(sequences=400)).remedies)
    assert ("fp8" in said) == eight_bits
    assert ("AWQ" in said) == awq


def test_concurrency_that_does_not_fit_still_starts() -> None:
    found = fit("meta-llama/Llama-3.1-8B", device=Device("", 24 * GIB), demand=Demand(context=8192, sequences=64))
    assert found.fits
    assert not found.holds
    assert found.remedies
    assert "at once; the others wait" in found.verdict


def test_room_in_a_cpus_memory_is_not_called_its_speed() -> None:
    """4,987 sequences "at once" on two cores are true of memory, and nobody's experience."""
    said = "tokens at once by memory alone, which says nothing of a CPU's speed."
    assert fit("tiny", device=Device("this machine's memory", 20 * GIB, "cpu", 1)).verdict.endswith(said)
    assert fit("tiny", device=H100).verdict.endswith("tokens at once.")


def test_more_context_never_means_more_room() -> None:
    balance = Balance(facts("google/gemma-3-12b-it"), Demand(), H100)
    counts = [balance.concurrency(length) for length in (512, 1024, 4096, 32_768, 131_072)]
    assert counts == sorted(counts, reverse=True)
    longest = balance.longest(20)
    assert balance.concurrency(longest) >= 20 > balance.concurrency(longest + 64)


def test_answer_is_shown_and_told_as_data() -> None:
    found = fit("Qwen/Qwen2.5-7B-Instruct", device=this_machine("h100"), demand=Demand(context=8192))
    assert "15.2" not in str(found)
    assert "14.2 GiB" in str(found)
    json.dumps(found.data())
    page = found._repr_mimebundle_()["text/html"]
    assert "<script" not in page
    assert found.data()["source"] == models_known.SOURCE


def test_names_of_gpus_and_sizes_as_people_write_them() -> None:
    assert known("NVIDIA H100 80GB HBM3".replace(" 80GB HBM3", "")).name == "H100"
    assert known("rtx4090") is known("RTX 4090") is known("4090")
    assert known("A100-80GB").name == "A100"
    assert memory("24GB") == memory("24") == memory("24GiB") == 24 * GIB
    with pytest.raises(SpecError, match="H100"):
        known("H1000")
    for wrong in ("much", "0", "-4GB"):
        with pytest.raises(SpecError):
            memory(wrong)
    with pytest.raises(SpecError, match="both"):
        this_machine("H100", "24GB")


def test_hub_model_that_is_not_here_is_a_clear_error_offline() -> None:
    with pytest.raises(SpecError, match="not on this machine") as error:
        facts("somebody/something")
    assert "HF_HUB_OFFLINE" in error.value.why


def test_cache_of_the_hub_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--somebody--something" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    folder(snapshot, LLAMA)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("abc")
    found = facts("somebody/something")
    assert "cache" in found.source
    assert found.architecture.context == 4096
