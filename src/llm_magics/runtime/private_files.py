"""Files that only their user may read, written whole or not at all.

A reader never sees half a record: the text goes to a temporary file, is forced to the disk, and takes the name in one
step. When the disk is full the old file stays as it was and the temporary one is gone.

The directory may be another host's or container's too (a home over NFS, a volume). A pid means nothing without the
place it counts in, so a temporary file's name says both: of its own place a reader can tell whether the writer lives;
another's file is given time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path

from llm_magics.runtime import identity

_ELSEWHERE = 3600.0  # s that a writer may take whose life cannot be seen from here; a write takes milliseconds


def write_whole(path: Path, text: str) -> None:
    """Replace a file's content in one step; mode 0600.

    Raises
    ------
    OSError
        When it cannot be written; the file is then unchanged.
    """
    temporary = unfinished(path, os.getpid())
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


def unfinished(path: Path, pid: int) -> Path:
    """Where the process `pid` of this place writes a file until it is whole; another name each time."""
    return path.with_name(f".{path.name}.{_place()}.{pid}.{os.urandom(4).hex()}.tmp")


def discard_unfinished(directory: Path) -> None:
    """Remove the temporary files of writers that were killed before they could, where the disk lets it."""
    for temporary in directory.glob(".*.tmp"):
        # A disk that was made read-only, or another who was faster: who looks at records must not fail of it.
        with contextlib.suppress(OSError):
            if _abandoned(temporary):
                temporary.unlink()


def _abandoned(temporary: Path) -> bool:
    place, pid = ("", *temporary.name.split("."))[-4:-2]  # at least ".", two words and "tmp"
    if place == _place() and pid.isdigit():
        return identity.of(int(pid)) is None
    return time.time() - temporary.stat().st_mtime > _ELSEWHERE


def _place() -> str:
    """In hexadecimal, where pids count: this boot of this machine, this pid namespace."""
    return hashlib.sha256(f"{identity.boot_id()} {identity.pid_namespace()}".encode()).hexdigest()[:12]


def open_log(path: Path, *, fresh: bool = False) -> int:
    """A descriptor that appends to a private file; `fresh` empties it first."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | (os.O_TRUNC if fresh else 0)
    handle = os.open(path, flags, 0o600)
    os.fchmod(handle, 0o600)
    return handle
