"""What a server uses while it is measured: a played NVML, real processes, powercap's files."""

from __future__ import annotations

import dataclasses
import os
import resource
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest

from llm_magics.runtime import identity, processes
from llm_magics.runtime.gpu_meter import GpuMeter, held_by
from llm_magics.runtime.gpus import Gpu, GpuProcess
from llm_magics.runtime.machine_meter import MachineMeter
from llm_magics.runtime.package_energy import PackageMeter
from llm_magics.runtime.record import Record
from llm_magics.runtime.tree_meter import TreeMeter

GIB = 2**30


class NVMLError(Exception):
    """The library's own error."""


def driver(cards: list[dict[str, Any]], opened: list[str]) -> types.SimpleNamespace:
    def supported(key: str) -> Any:
        def ask(handle: int) -> Any:
            if key not in cards[handle]:
                raise NVMLError("Not Supported")
            return cards[handle][key]

        return ask

    return types.SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: opened.append("open"),
        nvmlShutdown=lambda: opened.append("closed"),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetUtilizationRates=supported("rates"),
        nvmlDeviceGetMemoryInfo=supported("memory"),
        nvmlDeviceGetPowerUsage=supported("power"),
        nvmlDeviceGetTotalEnergyConsumption=supported("energy"),
    )


def card(util: int, used: int, milliwatts: int, millijoules: int | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "rates": types.SimpleNamespace(gpu=util), "memory": types.SimpleNamespace(used=used), "power": milliwatts,
    }  # fmt: skip
    return found | ({"energy": millijoules} if millijoules is not None else {})


def test_cards_are_read_together_with_nvml_open_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    cards = [card(100, 5 * GIB, 300_000, 9_000), card(50, 3 * GIB, 100_000, 1_000), card(1, GIB, 1, 1)]
    monkeypatch.setitem(sys.modules, "pynvml", driver(cards, opened))  # type: ignore[arg-type]
    with GpuMeter([0, 1]) as meter:
        first = meter.read()
        cards[0]["energy"] = 12_000
        second = meter.read()
        assert opened == ["open"]
    assert first == {"gpu_util": 0.75, "gpu_memory": 8.0 * GIB, "gpu_power": 400.0, "gpu_energy": 10.0}
    assert second["gpu_energy"] - first["gpu_energy"] == pytest.approx(3)
    assert opened == ["open", "closed"]


def test_what_one_card_does_not_support_has_no_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = [card(10, GIB, 1_000, 5), card(10, GIB, 1_000, None)]
    monkeypatch.setitem(sys.modules, "pynvml", driver(cards, []))  # type: ignore[arg-type]
    with GpuMeter([0, 1]) as meter:
        assert "gpu_energy" not in meter.read()
        assert meter.read()["gpu_power"] == 2.0


def test_without_gpus_nothing_is_opened_or_said(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setitem(sys.modules, "pynvml", driver([], opened))  # type: ignore[arg-type]
    with GpuMeter([]) as meter:
        assert meter.read() == {}
    assert opened == []
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with GpuMeter([0]) as meter:
        assert meter.read() == {}


def test_the_gpus_of_a_server_are_those_given_or_those_its_processes_are_on() -> None:
    plain = Gpu(0, "u0", "H100", "580", 80 * GIB, 0)
    ours = dataclasses.replace(plain, index=1, processes=[GpuProcess(4, GIB, "vllm", "qwen")])
    assert held_by("qwen", [0], [plain, ours]) == [0]
    assert held_by("qwen", [], [plain, ours]) == [1]
    assert held_by("other", [], [plain, ours]) == []


def record(pid: int, **more: Any) -> Record:
    found = identity.of(pid)
    assert found
    return Record("s", "e", "m", "ready", time.time(), "h", "k", {}, found.to_json(), **more)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_tree_below_a_server_is_counted_and_never_shrinks() -> None:
    work = "x = bytearray(60_000_000)\nimport time\nend = time.process_time() + 0.3\n"
    work += "while time.process_time() < end: pass\n"
    work += "print('done', flush=True)\ninput()"
    child = subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    now = [0.0]
    try:
        meter = TreeMeter(record(os.getpid()), clock=lambda: now[0])
        assert child.stdout
        assert child.stdout.readline() == "done\n"
        found = meter.read()
        assert found["cpu_seconds"] >= 0.3
        assert found["rss"] > 60e6
        assert found["swapped"] >= 0
        assert found["major_faults"] >= 0
    finally:
        child.communicate("\n", timeout=60)
    now[0] += 10
    again = meter.read()
    assert again["cpu_seconds"] >= found["cpu_seconds"]
    assert again["rss"] < 60e6


def test_a_container_or_a_dead_supervisor_gives_nothing() -> None:
    assert TreeMeter(record(os.getpid(), container={"tool": "docker", "name": "x"})).read() == {}
    gone = dataclasses.replace(record(os.getpid()), supervisor={"pid": 1})
    assert TreeMeter(gone).read() == {}


def test_packages_add_up_and_wrap(tmp_path: Path) -> None:
    for number, name in ((0, "package-0"), (1, "package-1"), (2, "psys")):
        zone = tmp_path / f"intel-rapl:{number}"
        zone.mkdir()
        (zone / "name").write_text(f"{name}\n")
        (zone / "max_energy_range_uj").write_text("1000000\n")
        (zone / "energy_uj").write_text("900000\n")
    meter = PackageMeter(tmp_path)
    assert meter.read() == {"cpu_energy": 0.0}
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("100000\n")  # wrapped: 200,000 further
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("950000\n")
    assert meter.read() == {"cpu_energy": pytest.approx(0.25)}
    assert PackageMeter(tmp_path / "nothing").read() == {}
    (tmp_path / "intel-rapl:1" / "energy_uj").unlink()
    assert meter.read() == {}


def test_the_machines_own_counters_are_read(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  100 10 40 5000 7 2 3 25 9 1\ncpu0 1 1 1 1\n")
    (tmp_path / "vmstat").write_text("pgpgin 9\npswpin 3\npswpout 5\n")
    second, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    found = MachineMeter(tmp_path).read()
    assert 0 < found.pop("caller_cpu_seconds") <= time.process_time()
    assert found == {
        "machine_cpu_seconds": 155 / second, "machine_steal_seconds": 25 / second, "machine_swap": 8.0 * page,
    }  # fmt: skip


def test_a_machine_that_shows_nothing_says_nothing(tmp_path: Path) -> None:
    assert MachineMeter(tmp_path / "none").read() == {}
    (tmp_path / "stat").write_text("cpu x\n")
    assert MachineMeter(tmp_path).read() == {}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_pages_from_a_disk_and_swapped_ones_are_those_of_the_process() -> None:
    found = identity.of(os.getpid())
    assert found
    paged = processes.paging(found)
    assert paged is not None
    assert paged[0] == resource.getrusage(resource.RUSAGE_SELF).ru_majflt
    assert processes.paging(dataclasses.replace(found, ticks=found.ticks + 1)) is None
