"""What an adapter must know of the machine to choose a command: is there a GPU, how many threads are polite.

Only the standard library, and no driver call: adapters are loaded by the supervisor too. Who holds which GPU is
`runtime.gpus`' matter. A command for another machine (a pod, see `deployment`) is made inside `elsewhere`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_elsewhere: ContextVar[tuple[bool, int] | None] = ContextVar("elsewhere", default=None)


@contextmanager
def elsewhere(*, gpu: bool, threads: int) -> Iterator[None]:
    """Commands made inside are for another machine: with a GPU or without, and with so many threads for an engine."""
    token = _elsewhere.set((gpu, threads))
    try:
        yield
    finally:
        _elsewhere.reset(token)


def has_gpu() -> bool:
    """Whether an NVIDIA GPU is there and not hidden by CUDA_VISIBLE_DEVICES."""
    if (other := _elsewhere.get()) is not None:
        return other[0]
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        return False
    return any(Path("/proc/driver/nvidia/gpus").glob("*")) or shutil.which("nvidia-smi") is not None


def threads() -> int:
    """Half of the cores this process may use, at least 1.

    An engine with a thread on every core stands still whenever anything else runs, the load generator first of all.
    """
    if (other := _elsewhere.get()) is not None:
        return other[1]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // 2)
