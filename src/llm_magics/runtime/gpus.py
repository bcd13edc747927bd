"""The machine's GPUs and who holds them, through NVML; an empty list where there is no NVIDIA GPU or no `pynvml`.

GPUs are numbered as `nvidia-smi` numbers them. `CUDA_VISIBLE_DEVICES` of this process limits what is listed: a kernel
that was given two of eight GPUs neither shows nor takes the other six.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from llm_magics.runtime import processes
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry

_TAKEN = 0.05  # part of the memory in use from which a GPU does not count as free: a driver alone holds less


@dataclass(frozen=True)
class GpuProcess:
    """A process on a GPU; `memory` in bytes, None where the driver does not say; `server` is ours, or ""."""

    pid: int
    memory: int | None
    name: str
    server: str = ""


@dataclass(frozen=True)
class Gpu:
    """One GPU. What the driver does not tell is None.

    Attributes
    ----------
    index, uuid, name
        Which one; the index is `nvidia-smi`'s.
    driver
        The driver's version.
    memory_total, memory_used
        Bytes; both 0 of one that is cut up, where this user may not see the whole.
    utilisation
        % of the last sample period in which a kernel ran.
    power, power_limit
        W.
    temperature
        Degrees Celsius.
    mig
        Whether it is cut into MIG instances; then it is not handed out whole.
    processes
        Who computes on it.
    capability
        NVIDIA's compute capability: 9.0 for an H100.
    unified
        Whether its memory is the machine's own (DGX Spark, Jetson), which everything here holds a part of.
    """

    index: int
    uuid: str
    name: str
    driver: str
    memory_total: int
    memory_used: int
    utilisation: int | None = None
    power: float | None = None
    power_limit: float | None = None
    temperature: int | None = None
    mig: bool = False
    processes: list[GpuProcess] = field(default_factory=list)
    capability: float | None = None
    unified: bool = False

    @property
    def free(self) -> bool:
        """Whether nobody uses it."""
        held = not self.unified and self.memory_used > _TAKEN * self.memory_total
        return not self.mig and not self.processes and not held


def gpus(registry: Registry | None = None) -> list[Gpu]:
    """Every GPU this process may use, in `nvidia-smi`'s order."""
    with library() as nvml:
        return [] if nvml is None else seen(nvml, (registry or Registry()).list())


def seen(nvml: Any, records: Iterable[Record]) -> list[Gpu]:
    """The same through a library that is open (`library`), with the servers that there are.

    A card that does not answer, because it fell off the bus, is left out: the others are there. Of a driver that fails
    in the middle there is none.
    """
    supervisors = _supervisors(records)
    found = []
    for index in range(_count(nvml)):
        with contextlib.suppress(nvml.NVMLError):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid = _text(nvml.nvmlDeviceGetUUID(handle))
            if _visible(index, uuid, os.environ.get("CUDA_VISIBLE_DEVICES")):
                found.append(_gpu(nvml, index, uuid, handle, supervisors))
    return found


def wait_until_released(pids: Collection[int], seconds: float = 10.0) -> bool:
    """Wait until the driver lists none of some ended processes any more: only then is their memory back.

    Returns
    -------
    bool
        Whether it happened in time.
    """
    deadline = time.monotonic() + seconds
    with library() as nvml:
        if nvml is None:
            return True
        while True:
            handles = [asked(nvml, "nvmlDeviceGetHandleByIndex", index) for index in range(_count(nvml))]
            held = (running.pid for handle in handles if handle is not None for running in _running(nvml, handle))
            if not any(pid in pids for pid in held):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)


@contextlib.contextmanager
def library() -> Iterator[Any]:
    """The NVML module, ready for use, or None."""
    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
    except Exception:  # noqa: BLE001 - no package, no driver, no permission: each means that there is no GPU for us
        yield None
        return
    try:
        yield nvml
    finally:
        with contextlib.suppress(nvml.NVMLError):  # a driver that was unloaded meanwhile: nothing is left to close
            nvml.nvmlShutdown()


def _gpu(nvml: Any, index: int, uuid: str, handle: Any, supervisors: dict[int, str]) -> Gpu:
    power = asked(nvml, "nvmlDeviceGetPowerUsage", handle)
    limit = asked(nvml, "nvmlDeviceGetEnforcedPowerLimit", handle)
    rates = asked(nvml, "nvmlDeviceGetUtilizationRates", handle)
    mode = asked(nvml, "nvmlDeviceGetMigMode", handle)
    mig = bool(mode and mode[0])
    capability = asked(nvml, "nvmlDeviceGetCudaComputeCapability", handle)
    total, used, unified = _memory(nvml, handle, mig)
    return Gpu(
        index=index,
        uuid=uuid,
        name=_text(nvml.nvmlDeviceGetName(handle)),
        driver=_text(nvml.nvmlSystemGetDriverVersion()),
        memory_total=total,
        memory_used=used,
        utilisation=None if rates is None else int(rates.gpu),
        power=None if power is None else power / 1000,
        power_limit=None if limit is None else limit / 1000,
        temperature=asked(nvml, "nvmlDeviceGetTemperature", handle, 0),
        mig=mig,
        processes=[
            GpuProcess(
                int(running.pid),
                None if running.usedGpuMemory is None else int(running.usedGpuMemory),
                processes.name_of(int(running.pid)),
                _server(int(running.pid), supervisors),
            )
            for running in _running(nvml, handle)
        ],
        capability=None if capability is None else capability[0] + capability[1] / 10,
        unified=unified,
    )


def _memory(nvml: Any, handle: Any, mig: bool) -> tuple[int, int, bool]:
    """Bytes in all, bytes in use, and whether they are the machine's own."""
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    except nvml.NVMLError as error:
        if mig:
            return 0, 0, False
        if getattr(error, "value", None) != nvml.NVML_ERROR_NOT_SUPPORTED:
            raise
        import psutil

        machine = psutil.virtual_memory()
        return machine.total, machine.total - machine.available, True
    return int(memory.total), int(memory.used), False


def _running(nvml: Any, handle: Any) -> list[Any]:
    return list(asked(nvml, "nvmlDeviceGetComputeRunningProcesses", handle) or [])


def asked(nvml: Any, question: str, *args: Any) -> Any:
    """NVML's answer, or None: most questions are not supported on some card (`question`: a function's name)."""
    with contextlib.suppress(nvml.NVMLError):
        return getattr(nvml, question)(*args)
    return None


def _count(nvml: Any) -> int:
    return asked(nvml, "nvmlDeviceGetCount") or 0


def _visible(index: int, uuid: str, limit: str | None) -> bool:
    """CUDA's rule: numbers or beginnings of UUIDs, and what follows an invalid entry does not count."""
    if limit is None:
        return True
    for entry in (part.strip() for part in limit.split(",")):
        if entry.isdigit():
            if int(entry) == index:
                return True
        elif not entry.startswith(("GPU-", "MIG-")):
            return False
        elif uuid.startswith(entry):
            return True
    return False


def _supervisors(records: Iterable[Record]) -> dict[int, str]:
    return {int(record.supervisor["pid"]): record.name for record in records if record.alive}


def _server(pid: int, supervisors: dict[int, str]) -> str:
    """The server that a process belongs to: the one whose supervisor is among its ancestors."""
    for _ in range(64):
        if pid in supervisors:
            return supervisors[pid]
        if pid <= 1:
            break
        pid = processes.parent_of(pid)
    return ""


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
