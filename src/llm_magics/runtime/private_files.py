"""Files that only their user may read, written whole or not at all.

A reader never sees half a record: the text goes to a temporary file, is forced to the disk, and takes the name in one
step. When the disk is full the old file stays as it was and the temporary one is gone.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from llm_magics.runtime import identity


def write_whole(path: Path, text: str) -> None:
    """Replace a file's content in one step; mode 0600.

    Raises
    ------
    OSError
        When it cannot be written; the file is then unchanged.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            left = memoryview(text.encode())
            while left:
                left = left[os.write(handle, left) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, path)  # noqa: PTH105 - pathlib's twin hides that this is the atomic step
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def discard_unfinished(directory: Path) -> None:
    """Remove the temporary files of writers that were killed before they could, where the disk lets it."""
    for temporary in directory.glob(".*.tmp"):
        pid = temporary.name.split(".")[-3]
        if pid.isdigit() and identity.of(int(pid)) is None:
            with contextlib.suppress(
                OSError
            ):  # a disk that was made read-only; who looks at records must not fail of it
                temporary.unlink()


def open_log(path: Path, *, fresh: bool = False) -> int:
    """A descriptor that appends to a private file; `fresh` empties it first."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | (os.O_TRUNC if fresh else 0)
    handle = os.open(path, flags, 0o600)
    os.fchmod(handle, 0o600)
    return handle
