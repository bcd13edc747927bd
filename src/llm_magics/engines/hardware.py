"""What an adapter must know of the machine to choose a command: is there a GPU, how many threads are polite.

Only the standard library, and no driver call: adapters are loaded by the supervisor too. Who holds which GPU is
`runtime.gpus`' matter.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def has_gpu() -> bool:
    """Whether an NVIDIA GPU is there and not hidden by CUDA_VISIBLE_DEVICES."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        return False
    return any(Path("/proc/driver/nvidia/gpus").glob("*")) or shutil.which("nvidia-smi") is not None


def threads() -> int:
    """Half of the cores this process may use, at least 1.

    An engine with a thread on every core stands still whenever anything else runs, the load generator first of all.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // 2)
