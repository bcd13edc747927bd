"""Which process a record means: never the pid alone, because the kernel hands pids out again.

On Linux a process is its pid, the clock tick it started at, the boot it belongs to and the namespace its pid counts
in. Start ticks are monotonic, so a change of the wall clock changes nothing. Elsewhere psutil's creation time stands
in.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Identity:
    """One process, for good: two processes with equal identities are the same process.

    Attributes
    ----------
    pid
        As this machine counts it, inside `pidns`.
    ticks
        Start of the process: clock ticks since boot (Linux, field 22 of `/proc/PID/stat`) or ms since the epoch.
    boot_id
        The boot of the machine; another boot or another machine has another one.
    pidns
        Inode of the pid namespace; 0 where there are none.
    """

    pid: int
    ticks: int
    boot_id: str
    pidns: int

    def alive(self) -> bool:
        """Whether this very process runs now. A zombie does not."""
        return self.here and _ticks(self.pid) == self.ticks

    @property
    def here(self) -> bool:
        """Whether the pid counts on this boot, in this pid namespace: otherwise it must not be looked up at all."""
        return self.boot_id == boot_id() and self.pidns == pid_namespace()

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> Identity:
        """From JSON values; other keys are ignored.

        Raises
        ------
        ValueError
            When a part is missing or has the wrong type.
        """
        kinds = {"pid": int, "ticks": int, "boot_id": str, "pidns": int}
        if data is None or any(type(data.get(key)) is not kind for key, kind in kinds.items()):
            raise ValueError("not the identity of a process")
        return cls(*(data[key] for key in kinds))


def of(pid: int) -> Identity | None:
    """The identity of a running process, or None where no process has this pid (or only a zombie)."""
    ticks = _ticks(pid)
    return None if ticks is None else Identity(pid, ticks, boot_id(), pid_namespace())


def current() -> Identity:
    """The identity of this process."""
    found = of(os.getpid())
    if found is None:
        raise OSError("this process cannot see itself; is /proc mounted?")
    return found


if sys.platform == "linux":

    def _ticks(pid: int) -> int | None:
        # By descriptor: who watches fifty servers asks a hundred times a second, and a Path costs as much as the rest.
        try:
            handle = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            stat = os.read(handle, 4096)
        except OSError:  # it ended in between
            return None
        finally:
            os.close(handle)
        # The command may hold spaces and brackets: fields count from behind the last bracket.
        fields = stat[stat.rfind(b")") + 2 :].split(None, 20)
        return None if fields[0] in (b"Z", b"X") else int(fields[19])

    @cache
    def boot_id() -> str:
        """The id of the machine's boot."""
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    @cache
    def pid_namespace() -> int:
        """The inode of this process's pid namespace, which is a process's own for life."""
        try:
            return Path("/proc/self/ns/pid").stat().st_ino
        except OSError:
            return 0

    os.register_at_fork(after_in_child=pid_namespace.cache_clear)  # a child may be in another

else:

    def _ticks(pid: int) -> int | None:
        import psutil

        try:
            process = psutil.Process(pid)
            return None if process.status() == psutil.STATUS_ZOMBIE else int(process.create_time() * 1000)
        except psutil.Error:
            return None

    @cache
    def boot_id() -> str:
        """The machine's name and the time of its boot."""
        import platform

        import psutil

        return f"{platform.node()}-{int(psutil.boot_time())}"

    def pid_namespace() -> int:
        """There are no pid namespaces here."""
        return 0
