"""What this machine has to run a model on: which kind of accelerator, and how much memory is really free.

NVIDIA's GPUs are asked through their driver (`runtime.gpus`); for the others the kernel's own folders are enough to
say whose they are. In a container the memory is what its limit leaves, not what the machine has.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llm_magics.runtime import gpus

OLDEST = 7.5  # compute capability from which vLLM and SGLang run
_PCI = {"0x1002": "amd", "0x8086": "intel", "0x1da3": "intel", "0x1ae0": "tpu"}  # 0x1da3: Habana (Gaudi)
_DISPLAY, _ACCELERATOR = ("0x0300", "0x0302", "0x0380"), ("0x1200", "0x0880")  # PCI classes
_BUILT_IN = "0000:00:"  # Intel's graphics inside a processor stand on the first bus


@dataclass(frozen=True)
class Accelerators:
    """What was found: `kind` in the words of `recommend`'s question, `capability` NVIDIA's, the lowest of all."""

    kind: str
    capability: float | None = None
    names: tuple[str, ...] = ()


def accelerators(root: Path = Path("/")) -> Accelerators:
    """The accelerators of this machine; `root` is where its file system begins (tests)."""
    if found := gpus.gpus():
        known = [gpu.capability for gpu in found if gpu.capability is not None]
        lowest = min(known, default=None)
        kind = "nvidia-old" if lowest is not None and lowest < OLDEST else "nvidia"
        return Accelerators(kind, lowest, tuple(gpu.name for gpu in found))
    if sys.platform == "darwin":
        return Accelerators("apple")
    makers = list(_makers(root))
    for kind in ("tpu", "amd", "intel"):
        if kind in makers:
            return Accelerators(kind)
    return Accelerators("cpu")


def _makers(root: Path) -> Iterator[str]:
    """Whose accelerators stand on the PCI bus with a driver that computes: a display alone is none."""
    for device in sorted(root.glob("sys/bus/pci/devices/*")):
        maker, sort = _PCI.get(_line(device / "vendor")), _line(device / "class")[:6]
        if maker is None:
            continue
        if maker == "amd" and sort in (*_DISPLAY, *_ACCELERATOR) and (root / "dev/kfd").exists():
            yield "amd"
        elif maker == "intel" and sort in _DISPLAY and not device.name.startswith(_BUILT_IN):
            yield "intel"
        elif maker in ("intel", "tpu") and sort in _ACCELERATOR:
            yield maker


def memory_free(root: Path = Path("/")) -> int:
    """Bytes that programs may still take: of the machine, or of the container's limit where that is less."""
    import psutil

    return min([int(psutil.virtual_memory().available), *_left_in_groups(root)])


def _left_in_groups(root: Path) -> Iterator[int]:
    """What the memory limits of this process' control groups leave; files kept in memory can be given up."""
    for folder, most, used, kept in _groups(root):
        limit = _line(folder / most)
        if limit.isdigit() and int(limit) < 1 << 60 and (now := _line(folder / used)).isdigit():
            files = dict(line.split() for line in _text(folder / "memory.stat").splitlines() if line.count(" ") == 1)
            yield max(0, int(limit) - int(now) + int(files.get(kept, 0)))


def _groups(root: Path) -> Iterator[tuple[Path, str, str, str]]:
    base = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, controllers, path = (*line.split(":", 2), "", "")[:3]
        second = number == "0" and not controllers
        if not second and "memory" not in controllers.split(","):
            continue
        top = base if second else base / "memory"
        names = (
            ("memory.max", "memory.current", "inactive_file")
            if second
            else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        )
        here = top / path.lstrip("/")
        for folder in [here, *here.parents]:
            yield (folder, *names)
            if folder == top:
                break


def _line(path: Path) -> str:
    return _text(path).strip()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
