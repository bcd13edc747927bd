"""What makes a model fit: each change is tried by the same arithmetic, so that no advice is given that would fail it.

Alone, or with the context it allows; the least costly first.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llm_magics.advice import gpus_known, weights
from llm_magics.advice.balance import GIB, USUAL_SHARE, Balance, Device

SIZES = (2, 4, 8, 16, 32, 64)  # GPUs that are tried
# Bits per parameter of whole files, llama.cpp's tools/quantize/README.md for Llama 3.1 8B; the usual ones.
GGUF_BITS = {"Q8_0": 8.5, "Q4_K_M": 4.89, "Q2_K": 3.16}
# NVIDIA's compute capabilities: FP8 is computed from Ada on (below, vLLM unpacks weights only, and caches not at all);
# vLLM's AWQ from Turing on (`get_min_capability` in vllm/model_executor/layers/quantization).
FP8_FROM, AWQ_FROM = 8.9, 7.5
_USEFUL = 512  # tokens; a shorter context is no remedy


def gpus_needed(balance: Balance) -> int | None:
    """The fewest GPUs of this kind (a power of two) on which it fits; None where 64 do not suffice, or on a CPU."""
    if balance.fits:
        return balance.gpus
    if balance.device.kind == "cpu":
        return None
    return next((size for size in SIZES if size > balance.gpus and _spread(balance, size).fits), None)


def _spread(balance: Balance, gpus: int) -> Balance:
    """The same on so many GPUs: tensor parallel within a node of eight, pipeline stages across."""
    tensor = min(gpus, 8)
    return replace(balance, demand=replace(balance.demand, tensor=tensor, pipeline=max(1, gpus // tensor)))


def remedies(balance: Balance, needed: int | None, *, starting: bool) -> list[str]:
    """Changes that were tried and help.

    Parameters
    ----------
    needed
        As `gpus_needed` says.
    starting
        Whether it is to start at all; else all asked sequences are to fit at once.
    """
    wanted = 1 if starting else balance.demand.sequences
    found = []

    def helps(**changes: Any) -> bool:
        tried = replace(balance, demand=replace(balance.demand, **changes))
        return tried.concurrency(tried.context) >= wanted

    longest = balance.longest(wanted)
    if starting and longest >= _USEFUL:
        found.append(f"max_model_len: {_round_down(longest)}")
    if not starting:
        found.append(
            f"max_num_seqs: {max(1, int(balance.concurrency(balance.context)))} (the others wait in the queue)"
        )
    latent = any(layer.kind == "latent" for layer in balance.architecture.layers)
    small = ("q8_0",) if balance.facts.format == "gguf" else ("fp8_ds_mla",) if latent else ("fp8",)
    for name in small if small == ("q8_0",) or _computes_fp8(balance) else ():
        if balance.demand.kv_cache_dtype in (None, "auto", "float16", "bfloat16") and helps(kv_cache_dtype=name):
            found.append(f"kv_cache_dtype: {name}")
    share = balance.demand.share or USUAL_SHARE
    if balance.device.kind == "gpu" and share < 0.95 and helps(share=0.95):
        found.append("gpu_memory_utilization: 0.95")
    if balance.device.kind == "gpu" and needed and needed > balance.gpus:
        found.append(_on_more(balance, needed))
    found += _smaller_weights(balance, wanted)
    if not starting and balance.device.kind == "gpu":
        more = next(
            (
                size
                for size in SIZES
                if size > balance.gpus and _spread(balance, size).concurrency(balance.context) >= wanted
            ),
            None,
        )
        found += [_on_more(balance, more)] if more else []
    if not starting and longest >= _USEFUL:
        found.append(f"max_model_len: {_round_down(longest)}")
    if starting and balance.device.kind == "gpu":
        larger = sorted((gpu for gpu in gpus_known.KNOWN.values() if gpu.memory > balance.device.memory
                         and gpu.maker == "nvidia"), key=lambda gpu: gpu.memory)  # fmt: skip
        enough = next((gpu for gpu in larger if replace(balance, device=Device(gpu.name, gpu.memory)).fits), None)
        found += [f"a larger GPU: {enough.name} ({enough.memory / GIB:.0f} GiB)"] if enough else []
    if found or balance.device.kind == "gpu":
        return found or ["a smaller model, or a quantized one in GGUF, which llama.cpp runs partly on the CPU"]
    return [_largest_here(balance)]


def _largest_here(balance: Balance) -> str:
    """How large a model may be for this memory, where no change makes the asked one fit."""
    left = max(0, balance.budget - balance.overhead)
    return (
        f"a model of at most {left / 2 / 1e9:.1f} billion parameters in 16 bits, or "
        f"{left / (GGUF_BITS['Q4_K_M'] / 8) / 1e9:.1f} billion as GGUF in Q4_K_M"
    )


def _on_more(balance: Balance, gpus: int) -> str:
    here = balance.device.count
    has = f" (this machine has {here})" if here is not None and here < gpus else ""
    if gpus <= 8:
        return f"tensor_parallel_size: {gpus}{has}"
    return f"tensor_parallel_size: 8 and pipeline_parallel_size: {gpus // 8}, on {gpus // 8} machines{has}"


def _smaller_weights(balance: Balance, wanted: int) -> list[str]:
    """Quantization of the weights: by the engine while it loads, or a checkpoint that somebody made."""
    own = balance.architecture
    if own.quantization or balance.demand.quantization or own.parameters is None or balance.facts.format == "gguf":
        return []
    found = []
    if balance.device.kind == "cpu":
        return _as_gguf(balance, wanted)
    if _computes_fp8(balance):
        eight_bit = replace(balance, demand=replace(balance.demand, quantization="fp8"))
        found.append(_shortened(eight_bit, wanted, "quantization: fp8", " (quantized while it loads)"))
    if balance.device.capability is not None and balance.device.capability < AWQ_FROM:
        return [*filter(None, found), *_as_gguf(balance, wanted)]
    quantized = replace(own, quantization=weights.CHECKPOINTS["awq"])
    four_bit = replace(balance, facts=replace(balance.facts, architecture=quantized, measured=None))
    size, before = four_bit.weights * balance.gpus / GIB, balance.weights * balance.gpus / GIB
    about = f" ({size:.1f} GiB instead of {before:.1f})"
    found.append(_shortened(four_bit, wanted, "a 4-bit checkpoint of the model (AWQ, GPTQ)", about))
    return [each for each in found if each]


def _as_gguf(balance: Balance, wanted: int) -> list[str]:
    """The largest of the usual GGUF quantizations that fits, for llama.cpp, which a CPU runs best."""
    parameters = balance.architecture.parameters
    for name, bits in GGUF_BITS.items():
        if parameters is None:
            break
        size = round(parameters.total * bits / 8)
        own = replace(balance.architecture, quantization={"quant_method": "gguf"})
        tried = replace(balance, facts=replace(balance.facts, architecture=own, measured=size, format="gguf"))
        about = f" (about {size / GIB:.1f} GiB instead of {balance.weights / GIB:.1f}), with engine: llamacpp"
        if found := _shortened(tried, wanted, f"a GGUF of the model in {name}", about):
            return [found]
    return []


def _computes_fp8(balance: Balance) -> bool:
    """Whether the GPU does, as far as is known; a CPU does not."""
    least = balance.device.capability
    return balance.device.kind == "gpu" and (least is None or least >= FP8_FROM)


def _shortened(changed: Balance, wanted: int, change: str, about: str) -> str:
    """A change, with the context that it allows where it does not allow the asked one; "" when it is of no use."""
    if changed.concurrency(changed.context) >= wanted:
        return change + about
    longest = changed.longest(wanted)
    return f"{change} and max_model_len: {_round_down(longest)}{about}" if longest >= _USEFUL else ""


def _round_down(tokens: int) -> int:
    step = 1024 if tokens > 8192 else 256 if tokens > 1024 else 1
    return tokens // step * step
