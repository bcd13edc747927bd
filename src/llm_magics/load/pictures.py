"""Pictures for vision models: PNG files of an exact size, no two alike, made for next to nothing.

All pictures of one size share their pixels, a mosaic of sixteen colours, deflated once; each has colours of its own. So
a thousand pictures cost a thousand palettes, and no cache of decoded images knows one from another.
"""

from __future__ import annotations

import base64
import random
import struct
import zlib
from functools import lru_cache

_TILE = 32  # pixels
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def picture(width: int, height: int, key: str) -> bytes:
    """A PNG of `width` x `height` pixels; its colours are those of the key.

    Colour type 3 (palette), 4 bits a pixel, no interlacing (PNG specification, third edition, chapter 11).
    """
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 4, 3, 0, 0, 0))
    palette = _chunk(b"PLTE", random.Random(key).randbytes(16 * 3))  # noqa: S311 - colours, not a secret
    return _SIGNATURE + header + palette + _pixels(width, height) + _chunk(b"IEND", b"")


def data_url(width: int, height: int, key: str) -> str:
    """The picture as OpenAI's `image_url` takes it."""
    return "data:image/png;base64," + base64.b64encode(picture(width, height, key)).decode()


@lru_cache(maxsize=8)
def _pixels(width: int, height: int) -> bytes:
    draw = random.Random(f"{width}x{height}")  # noqa: S311 - a pattern, not a secret
    across = (width + _TILE - 1) // _TILE
    rows = bytearray()
    row = b""
    for y in range(height):
        if y % _TILE == 0:
            tiles = [draw.randrange(16) for _ in range(across)]
            pixels = [tile for tile in tiles for _ in range(_TILE)][:width] + [0] * (width % 2)
            row = b"\0" + bytes(high << 4 | low for high, low in zip(pixels[::2], pixels[1::2], strict=True))
        rows += row
    return _chunk(b"IDAT", zlib.compress(bytes(rows), 9))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
