"""Rounds weights so that two file formats can hold the very same numbers.

GGUF's Q8_0 stores 32 weights as signed bytes with one half-precision scale. If the scale is a power of two, each
weight is `byte * 2**e`: seven significant bits, which bfloat16 holds exactly. So `model.safetensors` and the GGUF
file differ in nothing but their layout, and a comparison of two engines compares the engines, not two models.
"""

from __future__ import annotations

import numpy as np

BLOCK = 32
SMALLEST = -14  # the smallest exponent that half precision holds as a normal number


def exponents(weights: np.ndarray) -> np.ndarray:
    """For each block of 32 along the rows, the power of two by which its bytes are multiplied."""
    blocks = weights.reshape(*weights.shape[:-1], -1, BLOCK)
    largest = np.abs(blocks).max(axis=-1)
    wanted = np.ceil(np.log2(np.maximum(largest, 2.0**-30) / 127.0))
    return np.maximum(wanted, SMALLEST).astype(np.int32)


def split(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The signed bytes and exponents that stand for `weights` (any float matrix, columns a multiple of 32)."""
    e = exponents(weights)
    blocks = weights.reshape(*weights.shape[:-1], -1, BLOCK).astype(np.float32)
    return np.rint(np.ldexp(blocks, -e[..., None])).astype(np.int8), e


def round_to_grid(weights: np.ndarray) -> np.ndarray:
    """The nearest matrix that both formats hold exactly, as float32. Rounding it again changes nothing."""
    values, e = split(weights)
    return np.ldexp(values.astype(np.float32), e[..., None]).reshape(weights.shape)


def to_q8_0(weights: np.ndarray) -> np.ndarray:
    """The bytes of GGUF's Q8_0 rows: for each block a half-precision scale, then 32 signed bytes."""
    values, e = split(weights)
    rows, blocks = e.shape
    packed = np.empty((rows, blocks, 2 + BLOCK), dtype=np.uint8)
    packed[..., :2] = np.ldexp(np.float32(1), e).astype(np.float16)[..., None].view(np.uint8)
    packed[..., 2:] = values.view(np.uint8)
    return packed.reshape(rows, -1)
