"""What the whole machine does while a server is measured: CPU time of everybody, time a hypervisor took, swapping.

What is neither the engine's nor the load generator's of it is somebody else's, and blurs what is measured.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_BUSY = (0, 1, 2, 5, 6)  # user, nice, system, irq, softirq; guests' time is in user
_STEAL = 7


class MachineMeter:
    """Linux's counters of the machine; elsewhere it says nothing.

    Parameters
    ----------
    proc
        Where the kernel shows them.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc

    def read(self) -> dict[str, float]:
        """`machine_cpu_seconds`, `machine_steal_seconds`, `machine_swap` (bytes in and out): all since the boot.

        And `caller_cpu_seconds`, this process's own: a notebook that draws its progress is no stranger.
        """
        found: dict[str, float] = {}
        try:
            words = (self._proc / "stat").read_text().partition("\n")[0].split()
            ticks = [int(word) for word in words[1:]]
            second = os.sysconf("SC_CLK_TCK")
            found["machine_cpu_seconds"] = sum(ticks[place] for place in _BUSY) / second
            found["machine_steal_seconds"] = ticks[_STEAL] / second
            found["caller_cpu_seconds"] = time.process_time()
        except (OSError, ValueError, IndexError):
            pass
        try:
            lines = (self._proc / "vmstat").read_text().splitlines()
            pages = dict(line.split(maxsplit=1) for line in lines if line.startswith("pswp"))
            found["machine_swap"] = float(sum(map(int, pages.values())) * os.sysconf("SC_PAGE_SIZE"))
        except (OSError, ValueError):
            pass
        return found
