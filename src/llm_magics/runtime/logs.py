"""Reading a server's log, and what is kept out of it.

A log is read from its end in blocks, so that its size does not matter. It is rotated: the part before is beside it
with `.1`.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

_BLOCK = 64 * 1024
_HIDDEN = "***"
SHORTEST = 6  # letters of a secret; a shorter one is a word, and hiding it would hide half of the log
_FLAG = r"(?i:--(?:api|admin|hf)[-_](?:key|api[-_]key|token))"
_SECRETS = re.compile(
    r"(?P<keep>(?i:bearer)\s+)[A-Za-z0-9._~+/=-]{6,}"
    # A digit or a capital, or a length that no word has: `hf_transfer` and `sk-learn-like` are words.
    r"|\b(?:sk-|hf_)(?=\w{20}|[\w-]*[A-Z0-9])[A-Za-z0-9_-]{8,}"
    rf"|(?P<flag>{_FLAG}(?:=|\s+))[^\s'\",\]]+"
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Text with every secret replaced by `***`: the given ones, and whatever looks like a key or a token."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, _HIDDEN)
    return _SECRETS.sub(lambda found: (found["keep"] or found["flag"] or "") + _HIDDEN, text)


def secrets_of(args: Sequence[str]) -> list[str]:
    """The keys and tokens that stand in arguments: an engine that logs how it was called writes them in its own way."""
    apart = [arg for before, arg in pairwise(args) if re.fullmatch(_FLAG, before)]
    joined = [found[1] for arg in args if (found := re.fullmatch(rf"{_FLAG}=(.+)", arg))]
    return [secret for secret in (*apart, *joined) if len(secret) >= SHORTEST]


def redact_args(args: Sequence[str], secrets: Iterable[str] = ()) -> list[str]:
    """The same for a list of arguments, where a flag and its value stand apart."""
    hidden = list(secrets)
    return [
        _HIDDEN if re.fullmatch(_FLAG, before) else redact(arg, hidden)
        for before, arg in zip(["", *args], args, strict=False)
    ]


def tail(path: Path, lines: int = 50) -> list[str]:
    """The last lines of a log, oldest first; an empty list where there is no log."""
    found = _tail(path, lines)
    if len(found) < lines:
        found = _tail(path.with_name(path.name + ".1"), lines - len(found)) + found
    return found


def follow(path: Path, stop: threading.Event, *, lines: int = 10, pause: float = 0.1) -> Iterator[str]:
    """The last lines of a log, then every new one as it is written, across rotations, until `stop` is set.

    Parameters
    ----------
    lines
        How many old lines come first.
    pause
        s between two looks at the file.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        file = None
    try:
        if file is not None:
            end = file.seek(0, os.SEEK_END)
            yield from _last(path, lines, end)
            file.seek(end)
        rest = b""
        while True:
            stopping = stop.is_set()
            if file is None:
                with contextlib.suppress(FileNotFoundError):
                    file = path.open("rb")
            # Look for a successor first: what the old file got until it was renamed is then read before moving on.
            replaced = file is not None and _replaced(file.fileno(), path)
            while file is not None and (block := file.read(_BLOCK)):
                *whole, rest = (rest + block).split(b"\n")
                yield from (_text(line) for line in whole)
            if replaced and file is not None:
                file.close()
                file = None
                continue
            if stopping:
                return
            stop.wait(pause)
    finally:
        if file is not None:
            file.close()


def _tail(path: Path, lines: int) -> list[str]:
    try:
        size = path.stat().st_size
    except OSError:
        return []
    return _last(path, lines, size)


def _last(path: Path, lines: int, end: int) -> list[str]:
    """The last lines before an offset."""
    if lines <= 0:
        return []
    blocks: list[bytes] = []
    breaks = 0
    try:
        with path.open("rb") as file:
            position = end
            while position > 0 and breaks <= lines:
                size = min(_BLOCK, position)
                position -= size
                file.seek(position)
                blocks.insert(0, file.read(size))
                breaks += blocks[0].count(b"\n")
    except OSError:
        return []
    content = b"".join(blocks)
    return [_text(line) for line in content.removesuffix(b"\n").split(b"\n")[-lines:]] if content else []


def _replaced(handle: int, path: Path) -> bool:
    try:
        return not os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r")
