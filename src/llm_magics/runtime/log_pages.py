"""A log in pages of whole lines, by byte offset: forwards to follow it, backwards to read what came before.

Nothing is read but the page that was asked for, so a log of a gigabyte costs what a short one does. A place in a log is
the file's inode and an offset in it: after a rotation the place still means the same line, in the file beside.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

LONGEST = 512 * 1024  # bytes of a page
_BREAK = b"\n"


@dataclass(frozen=True)
class Page:
    """Some lines of a log, secrets left out when they were written.

    Attributes
    ----------
    file
        Inode of the file; 0 where there is no log.
    start, end
        Where the page begins and ends in it, bytes.
    size
        Bytes that this file has now.
    text
        The lines.
    earlier
        Whether there is anything before `start` in this file or the one before it.
    skipped
        Whether lines between the place that was asked for and this page are gone (rotated away twice).
    """

    file: int
    start: int
    end: int
    size: int
    text: str
    earlier: bool = False
    skipped: bool = False


def last(path: Path, limit: int = LONGEST) -> Page:
    """The last lines of a log, at most `limit` bytes of them.

    Raises
    ------
    OSError
        When it cannot be read; that there is none is no error.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return _before(file.fileno(), size, size, limit, path)
    except FileNotFoundError:
        return Page(0, 0, 0, 0, "")


def after(path: Path, file: int, offset: int, limit: int = LONGEST) -> Page:
    """The lines that follow a place, at most `limit` bytes of them; the rest of a rotated file comes first.

    Raises
    ------
    OSError
        When it cannot be read; that there is none is no error.
    """
    with _opened(path, file) as found:
        if found is None:
            return replace(last(path, limit), skipped=file != 0)
        which, handle, size = found
        if offset > size:  # written anew under the same inode
            offset = 0
        text, end = _whole(os.pread(handle, limit, offset), offset, limit)
        if text or which == path:
            return Page(file, offset, end, size, _text(text), earlier=offset > 0)
    try:  # the rotated file is read to its end: go on in its successor
        successor = path.open("rb", buffering=0)
    except FileNotFoundError:
        return Page(file, offset, offset, offset, "")
    with successor:
        stat = os.fstat(successor.fileno())
        text, end = _whole(os.pread(successor.fileno(), limit, 0), 0, limit)
        return Page(stat.st_ino, 0, end, stat.st_size, _text(text), earlier=True)


def before(path: Path, file: int, offset: int, limit: int = LONGEST) -> Page:
    """The lines in front of a place, at most `limit` bytes of them.

    Raises
    ------
    OSError
        When it cannot be read; that there is none is no error.
    """
    with _opened(path, file) as found:
        if found is None:
            return Page(0, 0, 0, 0, "", skipped=True)
        which, handle, size = found
        if offset > 0:
            return _before(handle, min(offset, size), size, limit, path)
    return last(_rotated(path), limit) if which == path else Page(0, 0, 0, 0, "", skipped=True)


@contextmanager
def _opened(path: Path, file: int) -> Iterator[tuple[Path, int, int] | None]:
    """Of the log and the one before it, the one that is this file: its name, a handle, its size; None if neither is."""
    with ExitStack() as stack:
        for candidate in (path, _rotated(path)):
            try:
                handle = stack.enter_context(candidate.open("rb", buffering=0)).fileno()
            except FileNotFoundError:
                continue
            stat = os.fstat(handle)
            if stat.st_ino == file:
                yield candidate, handle, stat.st_size
                return
        yield None


def _before(handle: int, end: int, size: int, limit: int, path: Path) -> Page:
    start = max(0, end - limit)
    data = os.pread(handle, end - start, start)
    if start > 0 and (cut := data.find(_BREAK)) >= 0 and cut + 1 < len(data):
        start, data = start + cut + 1, data[cut + 1 :]
    if end == size and (cut := data.rfind(_BREAK) + 1):  # what is still being written comes with the next page
        data, end = data[:cut], start + cut
    stat = os.fstat(handle)
    older = start > 0 or (_inode(path) == stat.st_ino and _rotated(path).exists())
    return Page(stat.st_ino, start, end, size, _text(data), earlier=older)


def _whole(data: bytes, offset: int, limit: int) -> tuple[bytes, int]:
    """Without the line that is still being written; a line longer than a page is cut."""
    cut = data.rfind(_BREAK) + 1
    if cut == 0 and len(data) >= limit:
        cut = len(data)
    return data[:cut], offset + cut


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _rotated(path: Path) -> Path:
    return path.with_name(path.name + ".1")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\r", "")
