"""A Python that has vLLM's build for CPUs and Ray, with the one word in which that build differs from those for GPUs.

vLLM names Ray no device for a CPU (`Platform.ray_device_key` is "" there, which v1/executor/ray_utils.py refuses), so
nothing of its Ray executor would run without GPUs. Here a platform plugin of vLLM's own kind says `GPU`, and a cluster
whose nodes declare GPUs that they have not does the rest: placement group, workers on two nodes, the tensors between
them are vLLM's and Ray's own, on CPUs.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

_PLATFORM = """
from vllm.platforms.cpu import CpuPlatform


class CpuWithRayDevice(CpuPlatform):
    ray_device_key = "GPU"
"""
_PLUGIN = """
def name():
    return "cpu_with_ray_device.CpuWithRayDevice"
"""


def made(folder: Path, vllm: Path, *, plugin: bool = True) -> Path:
    """The interpreter of a new environment in `folder`, beside `vllm`'s; nothing is written to that one.

    Parameters
    ----------
    vllm
        The interpreter of an environment that has vLLM.
    plugin
        Whether its CPU platform names Ray a device.
    """
    subprocess.run([vllm, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    own, theirs = (Path(_purelib(each)) for each in (python, vllm))
    own.joinpath("beside.pth").write_text(f"{theirs}\n{sysconfig.get_path('purelib')}\n")  # vLLM's first, then Ray
    if plugin:
        own.joinpath("cpu_with_ray_device.py").write_text(_PLATFORM)
        own.joinpath("cpu_ray_plugin.py").write_text(_PLUGIN)
        about = own / "cpu_ray_plugin-1.0.dist-info"
        about.mkdir()
        about.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: cpu-ray-plugin\nVersion: 1.0\n")
        about.joinpath("entry_points.txt").write_text("[vllm.platform_plugins]\ncpu_ray = cpu_ray_plugin:name\n")
    return python


def same_minor(vllm: Path) -> bool:
    """Whether Ray, as it is installed here, can be loaded by that interpreter."""
    asked = "import sys; print(*sys.version_info[:2])"
    return _said(vllm, asked) == f"{sys.version_info[0]} {sys.version_info[1]}"


def _purelib(python: Path) -> str:
    return _said(python, "import sysconfig; print(sysconfig.get_path('purelib'))")


def _said(python: Path, code: str) -> str:
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
