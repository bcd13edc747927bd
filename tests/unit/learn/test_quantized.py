"""The quantized variants must be what their formats say: an engine would load wrong ones too, and talk nonsense."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file

from llm_magics import models
from llm_magics.errors import SpecError
from llm_magics.learn.gguf_q4 import requantized
from llm_magics.learn.quantized import quantized

NAME = "model.layers.1.mlp.down_proj"


@pytest.fixture(scope="module")
def original() -> np.ndarray:
    """One matrix of the shipped model, (outputs, inputs)."""
    reader = gguf.GGUFReader(models.path("tiny", "gguf"))
    tensor = next(each for each in reader.tensors if each.name == "blk.1.ffn_down.weight")
    return gguf.dequantize(tensor.data, tensor.tensor_type)


def nibbles(packed: np.ndarray) -> np.ndarray:
    """int32 -> eight numbers, the lowest first, in a new last axis."""
    return (packed.view(np.uint32)[..., None] >> (np.arange(8, dtype=np.uint32) * 4)) & 15


def close(made: np.ndarray, original: np.ndarray, step: float) -> None:
    assert made.shape == original.shape
    assert np.abs(made - original).max() <= step * np.abs(original).max()
    assert np.abs(made - original).max() > 0


def test_q4_0_is_what_the_gguf_package_makes(tmp_path: Path, original: np.ndarray) -> None:
    path = quantized("q4_0", tmp_path)
    assert path.name == "tiny-q4_0.gguf"
    made, before = gguf.GGUFReader(path), gguf.GGUFReader(models.path("tiny", "gguf"))
    assert [each.name for each in made.tensors] == [each.name for each in before.tensors]
    assert {key: field.contents() for key, field in made.fields.items()} == {
        key: field.contents() for key, field in before.fields.items()
    }
    for new, old in zip(made.tensors, before.tensors, strict=True):
        if old.name.startswith("blk.") and old.tensor_type == gguf.GGMLQuantizationType.Q8_0:
            values = gguf.dequantize(old.data, old.tensor_type)
            wanted = gguf.quantize(values, gguf.GGMLQuantizationType.Q4_0)
            assert new.tensor_type == gguf.GGMLQuantizationType.Q4_0
            assert np.array_equal(new.data, wanted), new.name
        else:
            assert new.tensor_type == old.tensor_type
            assert np.array_equal(new.data, old.data), new.name
    assert path.stat().st_size < 0.7 * models.path("tiny", "gguf").stat().st_size


def test_what_is_no_gguf_is_refused() -> None:
    with pytest.raises(ValueError, match="GGUF"):
        requantized(b"PK\x03\x04" + b"\0" * 100)


def test_int8_has_one_scale_an_output(tmp_path: Path, original: np.ndarray) -> None:
    made = load_file(quantized("w8a8", tmp_path) / "model.safetensors")
    values, scale = made[f"{NAME}.weight"], made[f"{NAME}.weight_scale"]
    assert (values.dtype, scale.shape) == (np.int8, (original.shape[0], 1))
    close(values.astype(np.float32) * scale, original, 1 / 200)


def test_gptq_is_read_back(tmp_path: Path, original: np.ndarray) -> None:
    folder = quantized("gptq", tmp_path)
    made = load_file(folder / "model.safetensors")
    levels = nibbles(made[f"{NAME}.qweight"]).swapaxes(1, 2).reshape(original.T.shape)
    zeros = (nibbles(made[f"{NAME}.qzeros"]) + 1).reshape(-1, original.shape[0])
    groups = made[f"{NAME}.g_idx"]
    scales = made[f"{NAME}.scales"].astype(np.float32)
    close(((levels.astype(np.float32) - zeros[groups]) * scales[groups]).T, original, 1 / 12)
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    assert (config["quant_method"], config["bits"], config["group_size"]) == ("gptq", 4, 128)


def test_awq_is_read_back(tmp_path: Path, original: np.ndarray) -> None:
    made = load_file(quantized("awq", tmp_path) / "model.safetensors")
    back = np.argsort([0, 2, 4, 6, 1, 3, 5, 7])
    levels = nibbles(made[f"{NAME}.qweight"])[..., back].reshape(original.T.shape)
    zeros = nibbles(made[f"{NAME}.qzeros"]).reshape(-1, original.shape[0])
    groups = np.arange(original.shape[1]) // 128
    scales = made[f"{NAME}.scales"].astype(np.float32)
    close(((levels.astype(np.float32) - zeros[groups]) * scales[groups]).T, original, 1 / 12)


def test_what_is_not_quantized_goes_over(tmp_path: Path) -> None:
    before = load_file(quantized("gptq", tmp_path) / "model.safetensors")
    assert before["model.embed_tokens.weight"].dtype == np.float16
    assert "model.layers.0.input_layernorm.weight" in before
    assert not [name for name in before if name.endswith("_proj.weight")]


def test_another_precision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="q5"):
        quantized("q5", tmp_path)
