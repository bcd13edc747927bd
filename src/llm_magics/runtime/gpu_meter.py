"""What some GPUs do while a run goes on: use, memory, power, energy; asked a few times a second, so NVML stays open.

Opening NVML takes milliseconds, each question microseconds. A question that a card does not support is left out of
the answer, and with it the sum over the cards: half a sum is no sum.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from llm_magics.runtime.gpus import Gpu, asked, library


class GpuMeter:
    """Reads some GPUs through NVML; a context manager.

    Parameters
    ----------
    indices
        Which, by `nvidia-smi`'s numbers.
    """

    def __init__(self, indices: Iterable[int]) -> None:
        self.indices = list(indices)
        self._open = contextlib.ExitStack()
        self._nvml: Any = None
        self._handles: list[Any] = []

    def __enter__(self) -> GpuMeter:
        if self.indices:
            self._nvml = self._open.enter_context(library())
        if self._nvml is not None:
            with contextlib.suppress(self._nvml.NVMLError):
                self._handles = [self._nvml.nvmlDeviceGetHandleByIndex(index) for index in self.indices]
        return self

    def __exit__(self, *_: object) -> None:
        self._handles = []
        self._open.close()

    def read(self) -> dict[str, float]:
        """This moment, over all the GPUs.

        Returns
        -------
        `gpu_util` (mean share of the last sample period in which a kernel ran, 0 to 1), `gpu_memory` (bytes in use),
        `gpu_power` (W), `gpu_energy` (J since the driver was loaded; Volta and later).
        """
        if not self._handles:
            return {}
        nvml = self._nvml
        found: dict[str, float] = {}
        rates = [asked(nvml, "nvmlDeviceGetUtilizationRates", handle) for handle in self._handles]
        if None not in rates:
            found["gpu_util"] = sum(rate.gpu for rate in rates) / 100 / len(rates)
        memory = [asked(nvml, "nvmlDeviceGetMemoryInfo", handle) for handle in self._handles]
        if None not in memory:
            found["gpu_memory"] = float(sum(each.used for each in memory))
        for key, question in (
            ("gpu_power", "nvmlDeviceGetPowerUsage"),
            ("gpu_energy", "nvmlDeviceGetTotalEnergyConsumption"),
        ):
            values = [asked(nvml, question, handle) for handle in self._handles]
            if None not in values:
                found[key] = sum(values) / 1000
        return found


def held_by(server: str, given: Iterable[int], present: Iterable[Gpu]) -> list[int]:
    """The GPUs that a server uses: those it was given, else those on which the driver shows processes of it."""
    named = list(given)
    return named or [gpu.index for gpu in present if any(process.server == server for process in gpu.processes)]
