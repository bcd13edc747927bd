"""The shipped model in fewer bits, made here in a second: what the lesson on quantization serves and measures.

Every variant is rounded to nearest, with no calibration data: GPTQ and AWQ are written in their formats, which engines
load as any other checkpoint of theirs, but their algorithms (Frantar et al. 2022, Lin et al. 2023) choose better values
than nearest ones. What the lesson measures of them is an upper bound on the damage. Only numpy is needed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from llm_magics import models
from llm_magics.errors import SpecError
from llm_magics.learn.gguf_q4 import requantized

Array = np.ndarray[Any, np.dtype[Any]]

GROUP = 128  # inputs that share a scale in AWQ and GPTQ
_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)  # AutoAWQ packs eight outputs into 32 bits in this order


def quantized(precision: str, folder: str | Path = ".") -> Path:
    """Write the shipped model in another precision, and return what goes after `model:`.

    Parameters
    ----------
    precision
        `q4_0` (GGUF, for llama.cpp), `w8a8` (INT8 weights and activations, compressed-tensors), `gptq` or `awq` (4 bits
        in groups of 128): the last three for vLLM.
    folder
        Where it is written, as `tiny-<precision>`.

    Raises
    ------
    SpecError
        For another precision.
    """
    target = Path(folder) / f"tiny-{precision}"
    if precision == "q4_0":
        target = target.with_suffix(".gguf")
        target.write_bytes(requantized(models.path(models.TINY, "gguf").read_bytes()))
        return target
    if precision not in _WAYS:
        raise SpecError(f"There is no way to {precision!r} here.", why=f"q4_0, {', '.join(_WAYS)}")
    way, config = _WAYS[precision]
    source = models.path(models.TINY, "safetensors")
    target.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copyfile(source / name, target / name)
    made: dict[str, Array] = {}
    for name, values in _read(source / "model.safetensors").items():
        if name.startswith("model.layers.") and name.endswith("_proj.weight"):
            stem = name.removesuffix("weight")
            made |= {stem + part: array for part, array in way(values).items()}
        else:
            made[name] = values.astype(np.float16)
    _write(made, target / "model.safetensors")
    whole = json.loads((source / "config.json").read_text("utf-8"))
    whole["dtype"] = whole["torch_dtype"] = "float16"
    (target / "config.json").write_text(json.dumps({**whole, "quantization_config": config}, indent=2), "utf-8")
    return target


def int8(weights: Array) -> dict[str, Array]:
    """One scale an output, symmetric; `weights` is (outputs, inputs)."""
    scale = np.maximum(np.abs(weights).max(axis=1, keepdims=True), 1e-8) / 127
    return {"weight": np.rint(weights / scale).astype(np.int8), "weight_scale": scale.astype(np.float32)}


def gptq(weights: Array) -> dict[str, Array]:
    """4 bits, symmetric about 8, packed eight inputs to an int32: the layout of AutoGPTQ."""
    levels, scales = _grouped(weights)
    inputs, outputs = levels.shape
    packed = _packed(levels.reshape(inputs // 8, 8, outputs).swapaxes(1, 2))
    # The format stores zero points less one; 8 of each is the same number in every place.
    zeros = _packed(np.full((inputs // GROUP, outputs // 8, 8), 7))
    groups = (np.arange(inputs) // GROUP).astype(np.int32)
    return {"qweight": packed, "qzeros": zeros, "scales": scales, "g_idx": groups}


def awq(weights: Array) -> dict[str, Array]:
    """4 bits with zero point 8, packed eight outputs to an int32 in AutoAWQ's order."""
    levels, scales = _grouped(weights)
    inputs, outputs = levels.shape
    packed = _packed(levels.reshape(inputs, outputs // 8, 8)[..., _AWQ_ORDER])
    zeros = _packed(np.full((inputs // GROUP, outputs // 8, 8), 8))
    return {"qweight": packed, "qzeros": zeros, "scales": scales}


def _grouped(weights: Array) -> tuple[Array, Array]:
    """Levels 0 to 15 (inputs, outputs) about 8, and their scales (groups, outputs)."""
    turned = weights.T
    groups = turned.reshape(-1, GROUP, turned.shape[1])
    scales = (np.maximum(np.abs(groups).max(axis=1), 1e-8) / 7).astype(np.float16)
    levels = np.clip(np.rint(groups / scales[:, None, :].astype(np.float32)) + 8, 0, 15)
    return levels.astype(np.uint32).reshape(turned.shape), scales


def _packed(levels: Array) -> Array:
    """The last axis, eight numbers of 4 bits, as one int32, the first one lowest."""
    shifts = np.arange(8, dtype=np.uint32) * 4
    whole: Array = np.bitwise_or.reduce(levels.astype(np.uint32) << shifts, axis=-1).astype(np.uint32)
    return whole.view(np.int32)


def _read(file: Path) -> dict[str, Array]:
    """A safetensors file of bfloat16 as float32."""
    data = file.read_bytes()
    size = int.from_bytes(data[:8], "little")
    found = {}
    for name, entry in json.loads(data[8 : 8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        halves = np.frombuffer(data[begin:end], dtype="<u2").astype(np.uint32) << 16
        found[name] = halves.view(np.float32).reshape(entry["shape"])
    return found


def _write(tensors: Mapping[str, Array], file: Path) -> None:
    kinds = {"float16": "F16", "float32": "F32", "int8": "I8", "int32": "I32"}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, array in tensors.items():
        header[name] = {
            "dtype": kinds[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [at, at + array.nbytes],
        }
        at += array.nbytes
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    bodies = b"".join(np.ascontiguousarray(array).tobytes() for array in tensors.values())
    file.write_bytes(len(head).to_bytes(8, "little") + head + bodies)


_INT8_CONFIG: dict[str, Any] = {
    "quant_method": "compressed-tensors", "format": "int-quantized", "quantization_status": "compressed",
    "ignore": ["lm_head"],
    "config_groups": {"group_0": {
        "targets": ["Linear"],
        "weights": {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True, "dynamic": False},
        "input_activations": {"num_bits": 8, "type": "int", "strategy": "token", "symmetric": True, "dynamic": True},
    }},
}  # fmt: skip
_4_BITS = {"bits": 4, "group_size": GROUP}
_WAYS: dict[str, tuple[Callable[[Array], dict[str, Array]], dict[str, Any]]] = {
    "w8a8": (int8, _INT8_CONFIG),
    "gptq": (gptq, {"quant_method": "gptq", **_4_BITS, "desc_act": False, "sym": True, "lm_head": False}),
    "awq": (awq, {"quant_method": "awq", **_4_BITS, "zero_point": True, "version": "gemm"}),
}
