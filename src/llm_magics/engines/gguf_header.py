"""The few facts of a GGUF file that must be known before a server starts, read from its first kilobytes.

llama.cpp serves a model with less context than was asked for and says so only in its log; the header tells the
model's own length in a millisecond. Layout: the GGUF specification, versions 2 and 3.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

MAGIC = b"GGUF"
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_LONGEST = 1 << 24  # no key or single value of a sound file is longer; a corrupt length is not followed


def context_length(path: str | Path) -> int | None:
    """Tokens the model was trained for; None when the header does not say.

    Raises
    ------
    ValueError
        When the file is no GGUF file or its header is cut off or corrupt; the message says which.
    OSError
        When it cannot be read.
    """
    architecture = ""
    with Path(path).open("rb") as file:
        for key, value in _pairs(file):
            if key == "general.architecture":
                architecture = str(value)
            elif architecture and key == f"{architecture}.context_length":
                return int(value)
            elif key.startswith("tokenizer."):  # comes after the model's own facts, and is long
                break
    return None


def facts(path: str | Path) -> dict[str, Any]:
    """Every scalar and text of the header that stands before the tokenizer: the model's own facts (arrays as None).

    Raises
    ------
    ValueError, OSError
        As `context_length`.
    """
    found: dict[str, Any] = {}
    with Path(path).open("rb") as file:
        for key, value in _pairs(file):
            if key.startswith("tokenizer."):
                break
            found[key] = value
    return found


def _pairs(file: BinaryIO) -> Any:
    magic = file.read(4)
    if magic != MAGIC:
        raise ValueError(f"it begins with {magic!r}, a GGUF file with {MAGIC!r}")
    (version,) = _read(file, "I")
    if version not in (2, 3):
        raise ValueError(f"it says GGUF version {version}; 2 and 3 are known")
    _tensors, pairs = _read(file, "QQ")
    for _ in range(pairs):
        key = _string(file)
        (kind,) = _read(file, "I")
        yield key, _value(file, kind)


def _value(file: BinaryIO, kind: int) -> Any:
    if kind in _SCALARS:
        return _read(file, _SCALARS[kind])[0]
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY:
        item, count = _read(file, "IQ")
        if item in _SCALARS:
            file.seek(struct.calcsize("<" + _SCALARS[item]) * count, 1)
        else:
            for _ in range(count):
                _value(file, item)
        return None
    raise ValueError(f"its header holds a value of unknown kind {kind}")


def _string(file: BinaryIO) -> str:
    (length,) = _read(file, "Q")
    if length > _LONGEST:
        raise ValueError("its header is corrupt")
    return _exactly(file, length).decode("utf-8", "replace")


def _read(file: BinaryIO, layout: str) -> tuple[Any, ...]:
    return struct.unpack("<" + layout, _exactly(file, struct.calcsize("<" + layout)))


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise ValueError("its header is cut off")
    return data
