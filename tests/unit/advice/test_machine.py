"""What this machine has: accelerators by their makers' marks, memory as the container's limit leaves it."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from llm_magics.advice import machine
from llm_magics.advice.fit import this_machine
from llm_magics.runtime import gpus

GIB = 1 << 30


def device(root: Path, address: str, vendor: str, kind: str) -> None:
    folder = root / "sys/bus/pci/devices" / address
    folder.mkdir(parents=True)
    (folder / "vendor").write_text(vendor + "\n")
    (folder / "class").write_text(kind + "\n")


@pytest.mark.parametrize(
    ("address", "vendor", "kind", "driver", "found"),
    [
        ("0000:83:00.0", "0x1002", "0x120000", "dev/kfd", "amd"),  # Instinct
        ("0000:03:00.0", "0x1002", "0x030000", "dev/kfd", "amd"),  # Radeon with ROCm's driver
        ("0000:03:00.0", "0x1002", "0x030000", "", "cpu"),  # a display without it computes nothing
        ("0000:03:00.0", "0x8086", "0x038000", "", "intel"),  # Data Center GPU
        ("0000:00:02.0", "0x8086", "0x030000", "", "cpu"),  # graphics in the processor
        ("0000:19:00.0", "0x1da3", "0x120000", "", "intel"),  # Gaudi
        ("0000:00:04.0", "0x1ae0", "0x120000", "", "tpu"),
        ("0000:00:1f.0", "0x8086", "0x060100", "", "cpu"),  # a bridge
    ],
)
def test_makers_of_accelerators(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, vendor: str, kind: str, driver: str, found: str
) -> None:
    monkeypatch.setattr(gpus, "gpus", lambda registry=None: [])
    monkeypatch.setattr(machine.sys, "platform", "linux")
    device(tmp_path, address, vendor, kind)
    if driver:
        (tmp_path / "dev").mkdir()
        (tmp_path / driver).touch()
    assert machine.accelerators(tmp_path).kind == found


@pytest.mark.parametrize(
    ("capabilities", "kind", "lowest"),
    [([9.0], "nvidia", 9.0), ([7.0], "nvidia-old", 7.0), ([8.9, 7.5], "nvidia", 7.5), ([None], "nvidia", None)],
)
def test_nvidia_by_its_compute_capability(
    monkeypatch: pytest.MonkeyPatch, capabilities: list[float | None], kind: str, lowest: float | None
) -> None:
    cards = [gpus.Gpu(0, "u", "Card", "1", 24 * GIB, 0, capability=each) for each in capabilities]
    monkeypatch.setattr(gpus, "gpus", lambda registry=None: cards)
    found = machine.accelerators()
    assert (found.kind, found.capability) == (kind, lowest)


def test_memory_is_what_the_containers_limit_leaves(tmp_path: Path) -> None:
    free = psutil.virtual_memory().available
    assert machine.memory_free(tmp_path) == pytest.approx(free, rel=0.2)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/pod/notebook\n")
    inner = tmp_path / "sys/fs/cgroup/pod/notebook"
    inner.mkdir(parents=True)
    (inner / "memory.max").write_text("max\n")
    (inner.parent / "memory.max").write_text(str(2 * GIB))
    (inner.parent / "memory.current").write_text(str(GIB + GIB // 2))
    (inner.parent / "memory.stat").write_text(f"anon 5\ninactive_file {GIB // 4}\n")
    assert machine.memory_free(tmp_path) == min(free, 3 * GIB // 4)


def test_memory_in_the_older_kind_of_control_groups(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("4:memory:/docker/abc\n1:cpu:/docker/abc\n")
    top = tmp_path / "sys/fs/cgroup/memory"  # inside the container its own group is the top
    top.mkdir(parents=True)
    (top / "memory.limit_in_bytes").write_text(str(GIB))
    (top / "memory.usage_in_bytes").write_text(str(GIB // 2))
    assert machine.memory_free(tmp_path) == GIB // 2
    (top / "memory.limit_in_bytes").write_text(str((1 << 63) - 4096))  # no limit
    assert machine.memory_free(tmp_path) > GIB // 2


def test_fit_for_this_machine_takes_the_freest_gpu_and_says_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    held = [gpus.GpuProcess(7, 60 * GIB, "python", "qwen")]
    cards = [
        gpus.Gpu(0, "a", "Card", "1", 80 * GIB, 60 * GIB, processes=held),
        gpus.Gpu(1, "b", "Card", "1", 80 * GIB, 0),
    ]
    monkeypatch.setattr(gpus, "gpus", lambda registry=None: cards)
    assert (this_machine().free, this_machine().count) == (None, 2)
    both = this_machine(gpus=2)
    assert both.free == 20 * GIB
    assert "held by qwen (60.0 GiB)" in both.held
