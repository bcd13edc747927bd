"""Memory of common GPUs, for `--gpu H100` where that GPU is not in this machine.

`memory` is about what PyTorch calls the total of the usual board, in GiB: less than the name says (79.1 GiB of an
"80 GB" H100), and different by a few tenths between boards and drivers. For boards that were not seen, the maker's
figure. A GPU of this machine is asked through its driver instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from llm_magics.errors import SpecError
from llm_magics.spec.reading import nearest

GIB = 1 << 30


@dataclass(frozen=True)
class KnownGpu:
    """A kind of GPU: `memory` in bytes, `capability` NVIDIA's compute capability (None for other makers)."""

    name: str
    memory: int
    capability: float | None = None
    maker: str = "nvidia"


def _gpu(name: str, gib: float, capability: float | None = None, maker: str = "nvidia") -> KnownGpu:
    return KnownGpu(name, round(gib * GIB), capability, maker)


KNOWN: dict[str, KnownGpu] = {
    gpu.name: gpu
    for gpu in (
        _gpu("B300", 268, 10.3), _gpu("B200", 179, 10.0), _gpu("GB200", 185, 10.0),
        _gpu("H200", 140, 9.0), _gpu("H100", 79.1, 9.0), _gpu("H100-NVL", 93, 9.0), _gpu("GH200", 95, 9.0),
        _gpu("A100", 79.2, 8.0), _gpu("A100-40GB", 39.4, 8.0), _gpu("A40", 44.4, 8.6), _gpu("A30", 23.5, 8.0),
        _gpu("A10", 22.5, 8.6), _gpu("A10G", 22.5, 8.6), _gpu("L40S", 44.4, 8.9), _gpu("L40", 44.4, 8.9),
        _gpu("L4", 22.2, 8.9), _gpu("T4", 14.6, 7.5), _gpu("V100", 15.8, 7.0), _gpu("V100-32GB", 31.7, 7.0),
        _gpu("RTX-PRO-6000", 95, 12.0), _gpu("RTX-6000-Ada", 47.5, 8.9), _gpu("RTX-A6000", 47.5, 8.6),
        _gpu("RTX-5090", 31.4, 12.0), _gpu("RTX-5080", 15.5, 12.0), _gpu("RTX-4090", 23.6, 8.9),
        _gpu("RTX-4080", 15.6, 8.9), _gpu("RTX-4070", 11.6, 8.9), _gpu("RTX-4060", 7.6, 8.9),
        _gpu("RTX-3090", 23.7, 8.6), _gpu("RTX-3080", 9.8, 8.6), _gpu("RTX-3060", 11.8, 8.6),
        _gpu("MI355X", 288, None, "amd"), _gpu("MI325X", 256, None, "amd"), _gpu("MI300X", 192, None, "amd"),
        _gpu("MI250X", 64, None, "amd"), _gpu("MI210", 64, None, "amd"), _gpu("Gaudi3", 128, None, "intel"),
    )
}  # fmt: skip


def known(name: str) -> KnownGpu:
    """The kind of GPU that a person means: `H100`, `h100`, `A100-80GB`, `RTX 4090`, `rtx4090`.

    Raises
    ------
    SpecError
        When the table has none of that name; names the nearest.
    """
    wanted = _plain(name)
    for gpu in KNOWN.values():
        if wanted in (_plain(gpu.name), _plain(gpu.name).removeprefix("rtx"), _plain(gpu.name) + "80gb"):
            return gpu
    raise SpecError(
        f"The memory of a GPU called {name!r} is not known{nearest(name, list(KNOWN))}.",
        why=f"known: {', '.join(KNOWN)}",
        then="say how much it has: --memory 24GB",
    )


def _plain(name: str) -> str:
    words = re.sub(r"nvidia|geforce|amd|instinct|[^a-z0-9]", "", name.lower())
    return re.sub(r"(sxm\d?|pcie|hbm\de?)", "", words)


_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(gib|gb|g|mib|mb|m|tib|tb)?\s*$", re.IGNORECASE)
_UNITS = {"g": GIB, "m": GIB >> 10, "t": GIB << 10}


def memory(text: str) -> int:
    """Bytes of a size such as `24GB`, `24`, `16GiB`, `512MiB`; a plain number counts GiB.

    GB is read as GiB: that is what is printed on a 24 GB GPU.

    Raises
    ------
    SpecError
        For anything else.
    """
    found = _SIZE.match(text)
    if found is None or not float(found[1]):
        raise SpecError(f"{text!r} is not an amount of memory.", then="write --memory 24GB")
    return round(float(found[1]) * _UNITS[(found[2] or "g")[0].lower()])
