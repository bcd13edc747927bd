"""What a server keeps in temporary folders and in shared memory, and the end of it.

A process that is killed clears nothing up, and some engines do not even when they end in order. So every server has a
temporary folder of its own (`TMPDIR`), its launchers name what they put elsewhere after it, and the shared memory that
its processes were seen to use stands in the record. Whoever ends a server removes all three: its supervisor, or the
next one who looks when the supervisor was killed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from llm_magics.runtime.identity import Identity

if TYPE_CHECKING:
    from llm_magics.runtime.record import Record

SHARED = Path("/dev/shm")  # noqa: S108 - where Linux keeps shared memory, as files
_LOOK = 0.3  # s between two looks at whether it is let go of
_SOCKET = 100  # letters of a socket's path that every system takes
_NAMED_THERE = 40  # letters that engines name a socket by, in their temporary folder
_SEEN = re.compile(rf" (\d+) +{SHARED}/", re.MULTILINE)  # a line of /proc/PID/maps: the inode before the path


def name(identifier: str) -> str:
    """What a server's files are called, or begin with. Launchers make the same of `LLM_MAGICS_SERVER`."""
    return f"llm-magics-{identifier[:12]}"


def variables(identifier: str, given: Mapping[str, str]) -> dict[str, str]:
    """Variables that give a server its own temporary folder; none where a socket's path would be too long in there.

    PyTorch keeps what it compiled in the temporary folder, and is told to keep it where the next server finds it.
    """
    usual = given.get("TMPDIR") or tempfile.gettempdir()
    own = str(Path(usual).absolute() / name(identifier))
    if len(own) + _NAMED_THERE > _SOCKET:
        return {}
    compiled = str(Path(usual).absolute() / f"torchinductor_{os.getuid()}")
    return {"TMPDIR": own, **({} if "TORCHINDUCTOR_CACHE_DIR" in given else {"TORCHINDUCTOR_CACHE_DIR": compiled})}


def make(folder: str | None) -> None:
    """Make a server's temporary folder; where that fails the engine finds another by itself."""
    if folder:
        with contextlib.suppress(OSError):
            Path(folder).mkdir(mode=0o700, exist_ok=True)


def shared_by(processes: Iterable[Identity]) -> set[str]:
    """Names of the shared memory that some processes have mapped now.

    By inode: a semaphore is made under another name than it gets, and the map goes on to show that first one.
    """
    if sys.platform != "linux":
        return set()
    found: set[str] = set()
    for process in processes:
        with contextlib.suppress(OSError):
            found.update(_SEEN.findall(Path(f"/proc/{process.pid}/maps").read_text(errors="replace")))
    try:
        return {entry.name for entry in os.scandir(SHARED) if str(entry.inode()) in found}
    except OSError:
        return set()


def shared_beside(names: set[str]) -> set[str]:
    """What those have mapped too who have some of this mapped: Ray's workers, which are no children of the engine's."""
    from llm_magics.runtime.processes import all_pids

    found = set(names)
    for pid in all_pids():
        theirs = shared_by([Identity(pid, 0, "", 0)])
        if theirs & names:
            found |= theirs
    return found


def clear(record: Record, patience: float = 0.0) -> None:
    """Remove everything of a server that has no process any more, on the machine on which it ran.

    Parameters
    ----------
    patience
        s that processes which are not the server's may take to let go of its shared memory.
    """
    if not re.fullmatch(r"[0-9a-f]{12,}", record.id):
        return
    own = name(record.id)
    for parent in {*record.scratch, str(SHARED)}:
        with contextlib.suppress(OSError):
            for path in Path(parent).glob(f"{own}*"):
                _remove(path)
    left = [SHARED / each for each in record.shared if "/" not in each and _is_its(SHARED / each, record.created)]
    until = time.monotonic() + patience
    while left:
        used = _in_use()
        for path in left:
            if path.name not in used:
                _remove(path)
        left = [path for path in left if path.name in used]
        if time.monotonic() >= until:
            break
        time.sleep(_LOOK)


def _is_its(path: Path, since: float) -> bool:
    """Whether it is this user's and younger than the server: what was there before is somebody else's."""
    with contextlib.suppress(OSError):
        state = path.lstat()
        return state.st_uid == os.getuid() and state.st_ctime >= since
    return False


def _in_use() -> set[str]:
    """Shared memory that any process has mapped which can be asked."""
    from llm_magics.runtime.processes import all_pids

    return shared_by(Identity(pid, 0, "", 0) for pid in all_pids())


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.lstat().st_uid == os.getuid():
            path.unlink()
