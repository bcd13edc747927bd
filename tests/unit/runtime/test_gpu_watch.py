"""Who watches GPUs opens the driver's library once, and gives it back; the driver is played by a module."""

from __future__ import annotations

import os
import sys
import types
from typing import Any

import pytest

from llm_magics.runtime import identity
from llm_magics.runtime.gpu_watch import GpuWatch
from llm_magics.runtime.record import Record

GIB = 2**30


class NVMLError(Exception):
    """The library's own error."""


class Driver(types.SimpleNamespace):
    """`pynvml` with one card that this process holds; counts how often it was opened, asked and closed."""

    def __init__(self) -> None:
        super().__init__(
            opened=0, asked=0, closed=0, works=True, NVMLError=NVMLError,
            nvmlInit=lambda: self.count("opened"), nvmlShutdown=lambda: self.count("closed"),
            nvmlDeviceGetCount=self.cards, nvmlDeviceGetHandleByIndex=lambda index: index,
            nvmlDeviceGetUUID=lambda _: "GPU-0", nvmlDeviceGetName=lambda _: "H100",
            nvmlSystemGetDriverVersion=lambda: "580",
            nvmlDeviceGetMemoryInfo=lambda _: types.SimpleNamespace(total=80 * GIB, used=GIB),
            nvmlDeviceGetComputeRunningProcesses=lambda _: [
                types.SimpleNamespace(pid=os.getpid(), usedGpuMemory=GIB)
            ],
        )  # fmt: skip

    def count(self, what: str) -> None:
        setattr(self, what, getattr(self, what) + 1)

    def cards(self) -> int:
        if not self.works:
            raise NVMLError("Driver Not Loaded")
        self.count("asked")
        return 1

    def __getattr__(self, name: str) -> Any:
        def unsupported(*_: Any) -> None:
            raise NVMLError("Not Supported")

        return unsupported


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = Driver()
    monkeypatch.setitem(sys.modules, "pynvml", found)
    return found


def record() -> Record:
    return Record(
        id="1", name="qwen", engine="e", model="m", state="ready", created=1.0, host="h", reuse_key="k", spec={},
        supervisor=identity.current().to_json(),
    )  # fmt: skip


def test_it_is_opened_once_however_often_one_looks(driver: Driver) -> None:
    watch = GpuWatch()
    assert driver.opened == 0
    found = [watch.look([record()]) for _ in range(5)]
    assert [[process.server for gpu in each for process in gpu.processes] for each in found] == [["qwen"]] * 5
    assert (driver.opened, driver.closed, driver.asked) == (1, 0, 5)
    watch.close()
    watch.close()
    assert (driver.opened, driver.closed) == (1, 1)
    assert len(watch.look([])) == 1
    assert (driver.opened, driver.closed) == (2, 1)
    watch.close()


def test_a_driver_that_fails_is_closed_and_found_again(driver: Driver) -> None:
    watch = GpuWatch()
    assert len(watch.look([])) == 1
    driver.works = False
    assert watch.look([]) == []
    assert (driver.opened, driver.closed) == (1, 1)
    driver.works = True
    assert len(watch.look([])) == 1
    assert (driver.opened, driver.closed) == (2, 1)
    watch.close()


def test_without_a_library_nothing_is_open(monkeypatch: pytest.MonkeyPatch, driver: Driver) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    watch = GpuWatch()
    assert watch.look([]) == []
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    assert len(watch.look([])) == 1  # installed meanwhile
    watch.close()
