"""A GGUF file with its layers' matrices in Q4_0 instead of Q8_0; everything else goes over byte by byte.

Layout: ggml-org/ggml docs/gguf.md (version 3). Q8_0 is 32 signed bytes under one half-precision scale; Q4_0 is 32
numbers of four bits under one, of which the largest in magnitude becomes -8 (ggml-quants.c: quantize_row_q4_0_ref).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_Q4_0, _Q8_0 = 2, 8
_BLOCK = 32
_FIXED = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes of each metadata type
_TEXT, _LIST = 8, 9
_ALIGNMENT = 32
_SIZES = {0: (1, 4), 1: (1, 2), _Q8_0: (_BLOCK, 34)}  # type -> numbers in a block, bytes of it


@dataclass
class _Tensor:
    name: bytes
    shape: tuple[int, ...]
    kind: int
    offset: int

    @property
    def bytes(self) -> int:
        block, size = _SIZES[self.kind]
        return int(np.prod(self.shape)) // block * size


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def number(self, form: str) -> int:
        value: int
        (value,) = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def text(self) -> bytes:
        size = self.number("Q")
        self.at += size
        return self.data[self.at - size : self.at]

    def skip(self, kind: int) -> None:
        if kind == _TEXT:
            self.text()
        elif kind == _LIST:
            inner, count = self.number("I"), self.number("Q")
            for _ in range(count):
                self.skip(inner)
        else:
            self.at += _FIXED[kind]


def requantized(data: bytes) -> bytes:
    """The file with every Q8_0 matrix of a layer (`blk.*`) in Q4_0; embeddings stay, as in llama.cpp's own Q4_0 files.

    Raises
    ------
    ValueError
        When it is no GGUF file of version 3.
    """
    if data[:4] != b"GGUF" or int.from_bytes(data[4:8], "little") != 3:
        raise ValueError("no GGUF file of version 3")
    reader = _Reader(data)
    reader.at = 8
    tensors, pairs = reader.number("Q"), reader.number("Q")
    for _ in range(pairs):
        reader.text()
        reader.skip(reader.number("I"))
    head_end = reader.at
    found = [_tensor(reader) for _ in range(tensors)]
    start = _aligned(reader.at)
    infos, bodies, at = b"", b"", 0
    for each in found:
        raw = data[start + each.offset : start + each.offset + each.bytes]
        kind = each.kind
        if kind == _Q8_0 and each.name.startswith(b"blk."):
            kind, raw = _Q4_0, q4_0(unpacked(raw)).tobytes()
        infos += struct.pack("<Q", len(each.name)) + each.name + struct.pack("<I", len(each.shape))
        infos += struct.pack(f"<{len(each.shape)}QIQ", *each.shape, kind, at)
        raw += b"\0" * (_aligned(len(raw)) - len(raw))
        bodies, at = bodies + raw, at + len(raw)
    head = data[:head_end] + infos
    return head + b"\0" * (_aligned(len(head)) - len(head)) + bodies


def unpacked(raw: bytes) -> Array:
    """Q8_0 blocks as float32, one row a block."""
    blocks = np.frombuffer(raw, dtype=np.uint8).reshape(-1, 2 + _BLOCK)
    scales = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    return scales * blocks[:, 2:].view(np.int8).astype(np.float32)


def q4_0(blocks: Array) -> Array:
    """Rows of 32 numbers as Q4_0: the scale, then sixteen bytes, number i low and number i + 16 high."""
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1, keepdims=True), axis=1)
    scale = (largest / -8).astype(np.float32)
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale != 0)
    levels = np.clip(np.trunc(blocks * inverse + 8.5), 0, 15).astype(np.uint8)
    packed = levels[:, :16] | (levels[:, 16:] << 4)
    return np.concatenate([scale.astype(np.float16).view(np.uint8), packed], axis=1)


def _tensor(reader: _Reader) -> _Tensor:
    name = reader.text()
    shape = tuple(reader.number("Q") for _ in range(reader.number("I")))
    return _Tensor(name, shape, reader.number("I"), reader.number("Q"))


def _aligned(at: int) -> int:
    return -(-at // _ALIGNMENT) * _ALIGNMENT
