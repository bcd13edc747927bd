"""How many bytes a model's weights take: measured from its files, else computed from its parameters and their type.

A file that is here is the truth, also for a quantization nobody has heard of. Bytes per parameter: docs/choosing.md.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_magics.advice.parameters import Parameters

BYTES = {"float32": 4.0, "float": 4.0, "float16": 2.0, "half": 2.0, "bfloat16": 2.0, "float8_e4m3fn": 1.0}
AT_LOAD = {"fp8": 8.0, "bitsandbytes": 4.5, "bnb-4bit": 4.5, "bnb-8bit": 8.0, "experts_int8": 8.0, "mxfp4": 4.25,
                 "nvfp4_per_token": 4.5, "mxfp8": 8.25, "int8_per_channel_weight_only": 8.0}  # fmt: skip

# Quantizations that an engine reads and does not make, as their checkpoints usually are: 4 bits in groups of 128.
CHECKPOINTS: Mapping[str, Mapping[str, Any]] = {
    name: {"quant_method": method, "bits": 4, "group_size": 128}
    for name, method in {"awq": "awq", "awq_marlin": "awq", "gptq": "gptq", "gptq_marlin": "gptq"}.items()
}


def of_folder(folder: Path) -> tuple[int, str] | None:
    """Bytes of the weights in a model's folder and where that is said; None when there are none.

    Raises
    ------
    ValueError
        When a safetensors index or header is corrupt.
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        total = (_json(index).get("metadata") or {}).get("total_size")
        if isinstance(total, int):
            return total, "model.safetensors.index.json"
    if files := sorted(folder.glob("*.safetensors")):
        # Mistral publishes the same weights twice: as shards for Transformers and as one consolidated file.
        several = [file for file in files if not file.name.startswith("consolidated")] or files
        return sum(_tensors(file) for file in several), f"headers of {len(several)} safetensors file(s)"
    for pattern in ("pytorch_model*.bin", "*.pt", "*.pth"):
        if files := sorted(folder.glob(pattern)):
            return sum(file.stat().st_size for file in files), f"size of {len(files)} {pattern} file(s)"
    return None


def of_gguf(file: Path) -> tuple[int, str]:
    """Bytes of a GGUF file, with the other parts of a split one (`…-00001-of-00003.gguf`)."""
    stem, _, parts = file.stem.rpartition("-of-")
    if stem and parts.isdigit():
        several = sorted(file.parent.glob(f"{stem.rpartition('-')[0]}-*-of-{parts}.gguf"))
        return sum(part.stat().st_size for part in several), f"size of {len(several)} GGUF files"
    return file.stat().st_size, "size of the GGUF file"


def computed(
    parameters: Parameters, dtype: str, quantization: Mapping[str, Any], at_load: str | None
) -> tuple[int, str]:
    """Bytes of so many parameters.

    Parameters
    ----------
    dtype
        Type of what is not quantized.
    quantization
        The checkpoint's `quantization_config`.
    at_load
        Quantization that the engine does while it loads an unquantized checkpoint (`fp8`).
    """
    wide = BYTES.get(dtype, 2.0)
    bits, words = of_quantization(quantization)
    if bits is None and at_load in AT_LOAD:
        bits, words = AT_LOAD[at_load], f"{at_load} at load"
    if bits is None:
        return round(parameters.total * wide), f"{parameters.total:,} parameters in {dtype}"
    # MXFP4 (gpt-oss) and experts_int8 take the experts alone.
    small = (
        parameters.experts if words.startswith(("mxfp4", "experts_int8")) and parameters.experts else parameters.linear
    )
    return (
        round(small * bits / 8 + (parameters.total - small) * wide),
        f"{parameters.total:,} parameters, {small / parameters.total * 100:.1f} % of them in {bits:.3g} bits ({words})",
    )


def of_quantization(config: Mapping[str, Any]) -> tuple[float | None, str]:
    """Bits per quantized parameter, scales and zero points included, and the name of the method.

    Source: `quantization_config` as AutoAWQ, GPTQ, compressed-tensors, ModelOpt and bitsandbytes write it.
    """
    method = str(config.get("quant_method") or "").replace("_", "-")
    if not method:
        return None, ""
    bits, group = config.get("bits") or config.get("w_bit"), config.get("group_size") or config.get("q_group_size")
    if method == "compressed-tensors":
        return _of_compressed_tensors(config)
    if method in ("awq", "gptq", "auto-round", "intel/auto-round"):
        return _grouped(float(bits or 4), group, zero_points=True), method
    if method in ("fp8", "fbgemm-fp8"):
        return 8.0 + (32 / (128 * 128) if config.get("weight_block_size") else 0.0), method
    if method == "bitsandbytes":
        return (
            8.0 if config.get("load_in_8bit") else 4.127 if config.get("bnb_4bit_use_double_quant") else 4.5
        ), method
    if method == "mxfp4":
        return 4.25, method
    if method == "modelopt" or "quant_algo" in config:
        return (4.5 if "FP4" in str(config.get("quant_algo", "")).upper() else 8.0), method
    if bits:
        return _grouped(float(bits), group, zero_points=False), method
    return None, method


def _of_compressed_tensors(config: Mapping[str, Any]) -> tuple[float | None, str]:
    groups = config.get("config_groups")
    first: Any = next(iter(groups.values()), {}) if isinstance(groups, Mapping) else {}
    weights = first.get("weights") if isinstance(first, Mapping) else None
    if not isinstance(weights, Mapping) or not weights.get("num_bits"):
        return None, "compressed-tensors"
    bits = _grouped(
        float(weights["num_bits"]), weights.get("group_size"), zero_points=not weights.get("symmetric", True)
    )
    return bits, f"compressed-tensors {weights['num_bits']}-bit"


def _grouped(bits: float, group: Any, *, zero_points: bool) -> float:
    """A scale of 16 bits for each group, and a zero point of the weights' own width where there is one."""
    if not isinstance(group, int) or group <= 0:
        return bits
    return bits + (16 + (bits if zero_points else 0)) / group


def _tensors(file: Path) -> int:
    """Bytes of the tensors in a safetensors file, from its header: the file without that."""
    with file.open("rb") as opened:
        head = opened.read(8)
    size = file.stat().st_size
    length = struct.unpack("<Q", head)[0] if len(head) == 8 else size
    if length + 8 > size:
        raise ValueError(f"{file.name} is cut off or no safetensors file")
    return int(size - 8 - length)


def _json(path: Path) -> dict[str, Any]:
    data = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict):
        raise ValueError(f"{path.name} is no JSON object")
    return data
