"""GPUs as NVML reports them; the driver is played by a module, because the machine that runs this may have none."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import psutil
import pytest

from llm_magics.runtime import gpus, identity
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry

GIB = 2**30


class NVMLError(Exception):
    """The library's own error, with its number."""

    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value


NO_PERMISSION, NOT_SUPPORTED, DRIVER_NOT_LOADED, GPU_IS_LOST = 4, 3, 9, 15


def driver(cards: list[dict[str, Any]]) -> types.SimpleNamespace:
    """`pynvml` with some cards; what a card does not have is not supported, what it has as an error is raised."""

    def supported(key: str) -> Any:
        def ask(handle: int, *_: Any) -> Any:
            answer = cards[handle].get(key, NVMLError(NOT_SUPPORTED))
            if isinstance(answer, NVMLError):
                raise answer
            return answer

        return ask

    def memory(handle: int) -> Any:
        used = cards[handle].get("used", 0)
        if isinstance(used, NVMLError):
            raise used
        return types.SimpleNamespace(total=80 * GIB, used=used)

    return types.SimpleNamespace(
        NVMLError=NVMLError,
        NVML_ERROR_NOT_SUPPORTED=NOT_SUPPORTED,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlSystemGetDriverVersion=lambda: b"580.1",
        nvmlDeviceGetCount=lambda: len(cards),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetUUID=lambda handle: f"GPU-{handle}{handle}",
        nvmlDeviceGetName=lambda handle: cards[handle].get("name", "H100"),
        nvmlDeviceGetMemoryInfo=memory,
        nvmlDeviceGetPowerUsage=supported("power"),
        nvmlDeviceGetEnforcedPowerLimit=supported("limit"),
        nvmlDeviceGetUtilizationRates=supported("rates"),
        nvmlDeviceGetMigMode=supported("mig"),
        nvmlDeviceGetCudaComputeCapability=supported("capability"),
        nvmlDeviceGetTemperature=supported("temperature"),
        nvmlDeviceGetComputeRunningProcesses=supported("running"),
    )


def running(pid: int, memory: int | None = GIB) -> types.SimpleNamespace:
    return types.SimpleNamespace(pid=pid, usedGpuMemory=memory)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return lambda cards: monkeypatch.setitem(sys.modules, "pynvml", driver(cards))


def test_without_library_or_driver_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert gpus.gpus() == []
    assert gpus.wait_until_released([1]) is True

    def fail() -> None:
        raise NVMLError(DRIVER_NOT_LOADED)

    monkeypatch.setitem(sys.modules, "pynvml", types.SimpleNamespace(nvmlInit=fail, NVMLError=NVMLError))
    assert gpus.gpus() == []


def test_a_driver_that_fails_in_the_middle_has_no_gpu_and_holds_up_no_stop(install: Any) -> None:
    def fail() -> int:
        raise NVMLError(DRIVER_NOT_LOADED)

    install([{}])
    sys.modules["pynvml"].nvmlDeviceGetCount = fail  # type: ignore[attr-defined]
    assert gpus.gpus() == []
    assert gpus.wait_until_released([1]) is True


def test_a_card_is_shown_with_all_the_driver_says(install: Any) -> None:
    rates = types.SimpleNamespace(gpu=37)
    install(
        [
            {
                "used": 8 * GIB,
                "power": 312_000,
                "limit": 700_000,
                "rates": rates,
                "temperature": 55,
                "mig": [0, 0],
                "capability": (8, 9),
                "running": [],
            }
        ]
    )
    assert gpus.gpus() == [
        gpus.Gpu(0, "GPU-00", "H100", "580.1", 80 * GIB, 8 * GIB, 37, 312.0, 700.0, 55, False, [], 8.9),
    ]


def test_a_card_that_supports_little_is_shown_with_the_rest(install: Any) -> None:
    install([{"name": b"Tegra"}])
    (card,) = gpus.gpus()
    assert (card.name, card.power, card.utilisation, card.temperature, card.processes) == (
        "Tegra",
        None,
        None,
        None,
        [],
    )


def test_a_card_that_fell_off_the_bus_does_not_hide_the_others(install: Any) -> None:
    install([{}, {"used": NVMLError(GPU_IS_LOST)}, {}])
    assert [card.index for card in gpus.gpus()] == [0, 2]


def test_a_card_without_memory_of_its_own_has_the_machines(install: Any) -> None:
    """As a DGX Spark, whose driver says that it is not supported to ask; its system holds some of it at all times."""
    install([{"name": "NVIDIA GB10", "used": NVMLError(NOT_SUPPORTED), "running": []}])
    (card,) = gpus.gpus()
    assert card.unified
    assert card.memory_total == psutil.virtual_memory().total
    assert 0 < card.memory_used < card.memory_total
    assert card.free
    install([{"used": NVMLError(NOT_SUPPORTED), "running": [running(1)]}])
    assert not gpus.gpus()[0].free


def test_a_card_that_is_cut_up_is_shown_to_those_who_may_not_see_the_whole(install: Any) -> None:
    install([{"mig": [1, 1], "used": NVMLError(NO_PERMISSION)}])
    (card,) = gpus.gpus()
    assert (card.mig, card.memory_total, card.memory_used, card.free) == (True, 0, 0, False)


def test_a_library_that_cannot_be_closed_any_more_is_no_error(install: Any) -> None:
    install([{}])

    def fail() -> None:
        raise NVMLError(DRIVER_NOT_LOADED)

    sys.modules["pynvml"].nvmlShutdown = fail  # type: ignore[attr-defined]
    assert len(gpus.gpus()) == 1


def test_a_process_is_attributed_to_the_server_whose_supervisor_is_above_it(install: Any, tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    parent = identity.current()  # not the parent of the tests: that may be init, whose child everything is
    registry.write(
        Record(
            name="qwen", engine="e", model="m", state="ready", created=0.0, host="h", reuse_key="k", spec={},
            supervisor=parent.to_json(),
        )
    )  # fmt: skip
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        install([{"running": [running(child.pid, None), running(1)]}])
        (card,) = gpus.gpus(registry)
        assert [(each.pid, each.memory, each.server) for each in card.processes] == [
            (child.pid, None, "qwen"),
            (1, GIB, ""),
        ]
        child.communicate(b"\n")


def test_free_cards_hold_no_process_little_memory_and_are_whole(install: Any) -> None:
    install([{"running": [running(1)]}, {"used": 5 * GIB}, {"mig": [1, 1]}, {"used": GIB // 2}, {}])
    assert [card.index for card in gpus.gpus() if card.free] == [3, 4]


@pytest.mark.parametrize(
    ("limit", "seen"),
    [("1,2", [1, 2]), ("", []), ("GPU-22", [2]), ("0,-1,2", [0]), ("NoDevFiles", []), ("-1", []), (" 0 , 2 ", [0, 2])],
)
def test_cuda_visible_devices_limits_what_is_seen(
    install: Any, monkeypatch: pytest.MonkeyPatch, limit: str, seen: list[int]
) -> None:
    install([{}, {}, {}])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", limit)
    assert [card.index for card in gpus.gpus()] == seen


def test_waiting_for_memory_ends_when_the_driver_forgets_the_process(install: Any) -> None:
    cards = [{"running": [running(77)]}]
    install(cards)
    assert gpus.wait_until_released([77], seconds=0.2) is False
    cards[0]["running"] = [running(78)]
    assert gpus.wait_until_released([77]) is True
