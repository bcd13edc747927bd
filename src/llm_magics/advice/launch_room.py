"""The memory that a server would find at its start: what is free of each GPU, who has the rest, which are the freest.

Free, not total: other programs hold some, servers of ours too, and one of ours that is still loading will take its
share in a moment. What the server's own namesake holds counts as free, for it is reused or replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from llm_magics.engines.base import Memory
from llm_magics.runtime.gpus import Gpu
from llm_magics.runtime.record import Record

GIB = 1 << 30
_DRIVER = 0.02  # part of the memory that the driver holds of an idle GPU
_ALIKE = 0.005  # part of the free memory by which idle cards of a kind differ, and one card from look to look


@dataclass(frozen=True)
class Room:
    """One GPU as a server finds it: bytes in all, bytes free, and who holds the others, in words."""

    gpu: Gpu
    free: int
    holders: tuple[str, ...]

    @property
    def taken(self) -> str:
        """Why not all of it is free; "" when it is."""
        held = self.gpu.memory_total - self.free
        by = f" by {', '.join(self.holders)}" if self.holders else ""
        if held <= _DRIVER * self.gpu.memory_total:
            return ""
        return f"{held / GIB:.1f} of the {self.gpu.memory_total / GIB:.1f} GiB of GPU {self.gpu.index} are held{by}"


def room(gpu: Gpu, name: str, records: Sequence[Record]) -> Room | None:
    """What server `name` ("": one of no name) would find on a GPU; None where that cannot be told."""
    used, holders = gpu.memory_used, []
    for process in gpu.processes:
        if name and process.server == name:
            if process.memory is None:
                return None
            used -= process.memory
        else:
            size = f" ({process.memory / GIB:.1f} GiB)" if process.memory else ""
            holders.append((process.server or f"{process.name} {process.pid}") + size)
    for record in records:
        if record.name == name:
            continue
        if coming := _coming(record, gpu):
            used += coming
            holders.append(f"{record.name}, which is starting and will take {coming / GIB:.1f} GiB more")
        elif _has(record, gpu) and all(process.server != record.name for process in gpu.processes):
            holders.append(f"{record.name}, which was given it")
    return Room(gpu, max(0, gpu.memory_total - max(0, used)), tuple(dict.fromkeys(holders)))


def freest(count: int, name: str, present: Sequence[Gpu], records: Sequence[Record]) -> list[Gpu]:
    """The GPUs that server `name` would take by itself: of those that nobody else uses the ones with the most room.

    One that a server of ours was given is in use from its launch on, though its engine comes onto it seconds later.
    Cards that are as free as each other are taken by number, so that the choice is the same the next time.

    Returns
    -------
    list[Gpu]
        `count` of them, by number; fewer where there are fewer.
    """
    left = [found for gpu in present if (found := _unused(gpu, name, records)) is not None]
    chosen: list[Gpu] = []
    while left and len(chosen) < count:
        enough = (1 - _ALIKE) * max(each.free for each in left)
        best = min((each for each in left if each.free >= enough), key=lambda each: each.gpu.index)
        left.remove(best)
        chosen.append(best.gpu)
    return sorted(chosen, key=lambda gpu: gpu.index)


def _unused(gpu: Gpu, name: str, records: Sequence[Record]) -> Room | None:
    """The room on a GPU that nobody uses but server `name`; None on any other.

    The driver may not say how much a namesake has, nor whose a process in a container is: then all of it is taken for
    the namesake's.
    """
    found = room(gpu, name, records)
    if any(record.name == name and _has(record, gpu) for record in records):
        return found or Room(gpu, gpu.memory_total, ())
    if found is None and all(process.server == name for process in gpu.processes):
        return Room(gpu, gpu.memory_total, ())
    if found is None or found.holders:
        return None
    without = replace(gpu, processes=[], memory_used=gpu.memory_total - found.free)  # as it is without the namesake
    return found if without.free else None


def _has(record: Record, gpu: Gpu) -> bool:
    """Whether a server of ours runs, or is about to, that was given a GPU."""
    return record.alive and gpu.index in record.gpus


def _coming(record: Record, gpu: Gpu) -> int:
    """Bytes of this GPU that a starting server of ours will take beyond what it has; 0 where it is not known."""
    from llm_magics import engines

    if record.state not in ("starting", "loading") or record.engine not in engines.names():
        return 0
    memory = engines.get(record.engine).memory
    spec = record.spec
    asked = (spec.get("tensor_parallel_size") or 1) * (spec.get("pipeline_parallel_size") or 1)
    placed = record.gpus or list(range(asked * (spec.get("data_parallel_size") or 1)))
    if memory is None or memory.of != "total" or spec.get("gpus") == "none" or gpu.index not in placed:
        return 0
    if "cpu" in record.engine_version:
        return 0
    share = memory.part(spec.get("gpu_memory_utilization"), gpu.memory_total)
    has = sum(process.memory or 0 for process in gpu.processes if process.server == record.name)
    return max(0, int(share * gpu.memory_total) - has)


def budget(memory: Memory, found: Room, share: float | None) -> int:
    """Bytes of one GPU that an engine may take with a `gpu_memory_utilization` (None: its own)."""
    total = found.gpu.memory_total
    part = memory.part(share, total)
    if memory.of == "total":
        return int(part * total)
    if memory.of == "left":
        return max(0, found.free - int((1 - part) * total))
    return int(part * found.free) if memory.of == "free" else found.free
