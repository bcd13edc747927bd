"""A worker that waits for its turn stamps late: where the system permits, it is woken before other work.

An engine on the same machine keeps every core busy, and a client that sleeps between two chunks wakes late: 46 to
172 ms (p99) were measured beside vLLM on two cores, 0.1 ms with what is done here. The worker needs few per cent of a
core; it gets real-time priority where that is allowed (root, CAP_SYS_NICE), else a shorter time slice (Linux 6.12 and
later), which any user may ask for. What it got stands in the audit.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
from contextlib import suppress

_SYSCALL = {"x86_64": 314, "aarch64": 274}  # sched_setattr
_SLICE = 100_000  # ns, the shortest that the scheduler takes
_LONGEST = 2_000_000  # µs of CPU without a pause, after which a real-time worker steps down


def urgent() -> str:
    """Ask for the best priority that is allowed: `realtime`, `slice` or `normal`."""
    if not sys.platform.startswith("linux"):
        return "normal"
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError:
        return "slice" if _short_slice() else "normal"
    import resource

    def step_down(*_: object) -> None:
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))

    # A worker that never sleeps would starve the engine that it measures.
    signal.signal(signal.SIGXCPU, step_down)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_RTTIME, (_LONGEST, resource.getrlimit(resource.RLIMIT_RTTIME)[1]))
    return "realtime"


def _short_slice() -> bool:
    number = _SYSCALL.get(os.uname().machine)
    if number is None:
        return False
    attributes = struct.pack("=IIQiIQQQ", 48, 0, 0, os.getpriority(os.PRIO_PROCESS, 0), 0, _SLICE, 0, 0)
    return bool(ctypes.CDLL(None).syscall(number, 0, attributes, 0) == 0)
