"""Finding and ending processes: a server's whole tree, each one verified before it gets a signal.

Three ways lead to a process that belongs to a server: it descends from the supervisor (which adopts orphans on Linux,
so a daemon cannot leave), its identity stands in the record, or its environment carries the server's mark. Command
lines are never searched: an editor that shows a log must not die with the server.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from llm_magics.runtime.identity import Identity, boot_id, of, pid_namespace

MARK = "LLM_MAGICS_SERVER"  # in the environment of every process of a server; its value is the record's id


def send(process: Identity, signum: int) -> bool:
    """Send a signal to exactly this process.

    Returns
    -------
    bool
        False when it does not run any more, or is not ours to signal.
    """
    try:
        if not hasattr(os, "pidfd_open"):
            if not process.alive():
                return False
            os.kill(process.pid, signum)
            return True
        # The descriptor pins the process, so the pid cannot change hands between the check and the signal.
        pinned = os.pidfd_open(process.pid)
        try:
            if not process.alive():
                return False
            signal.pidfd_send_signal(pinned, signum)
            return True
        finally:
            os.close(pinned)
    except OSError:
        return False


def end(find: Callable[[], Iterable[Identity]], seconds: float = 5.0) -> list[Identity]:
    """KILL what `find` finds, again and again until it finds nothing: a process may fork while the list is read.

    Returns
    -------
    list of Identity
        What still ran after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while left := [process for process in find() if process.alive()]:
        for process in left:
            send(process, signal.SIGKILL)
        if time.monotonic() > deadline:
            return left
        time.sleep(0.01)
    return []


if sys.platform == "linux":

    def all_pids() -> list[int]:
        """The pid of every process that can be seen."""
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]

    def _table() -> dict[int, tuple[int, int, bool]]:
        """Every process that can be seen: pid -> parent, start ticks, whether it is a zombie."""
        table = {}
        for pid in all_pids():
            try:
                stat = Path(f"/proc/{pid}/stat").read_bytes()
            except OSError:
                continue
            fields = stat[stat.rfind(b")") + 2 :].split()
            table[pid] = int(fields[1]), int(fields[19]), fields[0] in (b"Z", b"X")
        return table

    def descendants(pid: int) -> list[Identity]:
        """All running processes below one, children before grandchildren."""
        table = _table()
        children: dict[int, list[int]] = {}
        for child, (parent, _, _) in table.items():
            children.setdefault(parent, []).append(child)
        boot, namespace = boot_id(), pid_namespace()
        found, todo = [], list(children.get(pid, ()))
        while todo:
            child = todo.pop(0)
            todo += children.get(child, ())
            _, ticks, zombie = table[child]
            if not zombie:
                found.append(Identity(child, ticks, boot, namespace))
        return found

    def marked(mark: str) -> list[Identity]:
        """All running processes whose environment can be read and carries a server's mark; never this process."""
        if not mark:
            return []
        wanted, found = f"{MARK}={mark}".encode(), []
        for pid in all_pids():
            with contextlib.suppress(OSError):
                environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                if wanted in environment and pid != os.getpid() and (process := of(pid)) is not None:
                    found.append(process)
        return found

    def cpu_seconds(processes: Iterable[Identity]) -> float:
        """CPU time that some processes have used, user and system, s."""
        ticks = 0
        for process in processes:
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{process.pid}/stat").read_bytes()
                fields = stat[stat.rfind(b")") + 2 :].split()
                if int(fields[19]) == process.ticks:
                    ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def resident(processes: Iterable[Identity]) -> int:
        """Memory that some processes hold in RAM, bytes; pages they share count for each."""
        pages = 0
        for process in processes:
            with contextlib.suppress(OSError, ValueError, IndexError):
                pages += int(Path(f"/proc/{process.pid}/statm").read_bytes().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def usage(process: Identity) -> tuple[float, int] | None:
        """CPU time (user and system, s) and resident memory (bytes) of exactly this process; None when it is gone."""
        try:
            stat = Path(f"/proc/{process.pid}/stat").read_bytes()
        except OSError:
            return None
        fields = stat[stat.rfind(b")") + 2 :].split()
        if int(fields[19]) != process.ticks:
            return None
        cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return cpu, int(fields[21]) * os.sysconf("SC_PAGE_SIZE")

    def paging(process: Identity) -> tuple[int, int] | None:
        """Pages that this process had to wait for a disk for (major faults), and what of it is swapped out (bytes).

        None when it is gone, or may not be looked at.
        """
        try:
            stat = Path(f"/proc/{process.pid}/stat").read_bytes()
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            return None
        fields = stat[stat.rfind(b")") + 2 :].split()
        if int(fields[19]) != process.ticks:
            return None
        swapped = next((line.split()[1] for line in status.splitlines() if line.startswith("VmSwap:")), "0")
        return int(fields[9]), int(swapped) * 1024

    def name_of(pid: int) -> str:
        """The short name of a process, or ""."""
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/comm").read_text().strip()
        return ""

    def command_of(pid: int) -> str:
        """The command line of a process, or ""."""
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        return ""

    def parent_of(pid: int) -> int:
        """The parent's pid, or 0."""
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{pid}/stat").read_bytes()
            return int(stat[stat.rfind(b")") + 2 :].split()[1])
        return 0

else:

    def descendants(pid: int) -> list[Identity]:
        """All running processes below one, children before grandchildren."""
        import psutil

        try:
            children = psutil.Process(pid).children(recursive=True)
        except psutil.Error:
            return []
        return [process for child in children if (process := of(child.pid)) is not None]

    def marked(mark: str) -> list[Identity]:
        """Other systems do not show environments; what a record names has to do."""
        return []

    def cpu_seconds(processes: Iterable[Identity]) -> float:
        """CPU time that some processes have used, user and system, s."""
        import psutil

        total = 0.0
        for process in processes:
            with contextlib.suppress(psutil.Error):
                times = psutil.Process(process.pid).cpu_times()
                total += times.user + times.system
        return total

    def resident(processes: Iterable[Identity]) -> int:
        """Memory that some processes hold in RAM, bytes; pages they share count for each."""
        import psutil

        total = 0
        for process in processes:
            with contextlib.suppress(psutil.Error):
                total += int(psutil.Process(process.pid).memory_info().rss)
        return total

    def usage(process: Identity) -> tuple[float, int] | None:
        """CPU time (user and system, s) and resident memory (bytes) of exactly this process; None when it is gone."""
        import psutil

        if not process.alive():
            return None
        try:
            found = psutil.Process(process.pid)
            times = found.cpu_times()
            return times.user + times.system, int(found.memory_info().rss)
        except psutil.Error:
            return None

    def paging(process: Identity) -> tuple[int, int] | None:
        """Other systems are not looked at."""
        return None

    def name_of(pid: int) -> str:
        """The short name of a process, or ""."""
        import psutil

        with contextlib.suppress(psutil.Error):
            return str(psutil.Process(pid).name())
        return ""

    def command_of(pid: int) -> str:
        """The command line of a process, or ""."""
        import psutil

        with contextlib.suppress(psutil.Error):
            return " ".join(psutil.Process(pid).cmdline())
        return ""

    def parent_of(pid: int) -> int:
        """The parent's pid, or 0."""
        import psutil

        with contextlib.suppress(psutil.Error):
            return int(psutil.Process(pid).ppid())
        return 0
