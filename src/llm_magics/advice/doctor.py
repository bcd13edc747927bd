"""What is installed, in which environment, what is missing, and the command that installs it."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
from dataclasses import dataclass
from typing import Literal

from llm_magics import paths


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `state` is how it stands, `remedy` what to type when it does not stand well."""

    what: str
    state: Literal["ok", "missing", "warning"]
    detail: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Every finding, in the order of a person's questions: Python, engines, GPUs, notebook front end, disk, servers."""
    return [*_python(), *_engines(), *_gpus(), *_packages(), *_monitoring(), *_disk(), *_servers()]


def _python() -> list[Finding]:
    from llm_magics import __version__

    return [Finding("llm-magics", "ok", f"{__version__} on Python {platform.python_version()}: {sys.executable}")]


def _engines() -> list[Finding]:
    from llm_magics.engines import environments

    return [
        Finding(each.title, "ok", f"{each.version}, {each.origin}: {each.where}")
        if each.installed
        else Finding(each.title, "missing", "not found", each.command)
        for each in environments.inventory()
    ]


def _gpus() -> list[Finding]:
    from llm_magics.runtime import gpus

    found = gpus.gpus()
    if found:
        return [Finding(f"GPU {gpu.index}", "ok", f"{gpu.name}, driver {gpu.driver}") for gpu in found]
    if shutil.which("nvidia-smi") and not _version("nvidia-ml-py"):
        return [
            Finding("GPU", "warning", "a driver is here, its Python library is not", "pip install 'llm-magics[gpu]'")
        ]
    return [Finding("GPU", "ok", "none: engines run on the CPU")]


def _monitoring() -> list[Finding]:
    from llm_magics.monitor import programs

    found = programs.here()
    if all(found.values()):
        return [Finding("Prometheus, Alertmanager", "ok", ", ".join(map(str, found.values())))]
    said = "only needed for %llm monitor, which takes docker or podman instead"
    return [Finding("Prometheus, Alertmanager", "missing", said, programs.INSTALL)]


def _packages() -> list[Finding]:
    wanted = {
        "jupyterlab": ("the notebook", "pip install jupyterlab"),
        "ipywidgets": ("`.widget()` views", "pip install 'llm-magics[widgets]'"),
        "pyarrow": ("Parquet files", "pip install 'llm-magics[parquet]'"),
    }
    return [
        Finding(name, "ok", version)
        if (version := _version(name))
        else Finding(name, "missing", f"only needed for {use}", remedy)
        for name, (use, remedy) in wanted.items()
    ]


def _disk() -> list[Finding]:
    findings = []
    for title, directory in (("records", paths.runtime_dir()), ("runs", paths.data_dir())):
        free = shutil.disk_usage(directory).free
        state: Literal["ok", "warning"] = "ok" if free > 1 << 30 else "warning"
        remedy = "" if state == "ok" else "free some space: runs and logs need it"
        findings.append(Finding(title, state, f"{directory} ({free / (1 << 30):.1f} GiB free)", remedy))
    return findings


def _servers() -> list[Finding]:
    from llm_magics.runtime.registry import Registry

    lost = [record.name for record in Registry().list() if record.state == "lost"]
    return [Finding(f"server {name}", "warning", "its supervisor is gone", f"%llm stop {name}") for name in lost]


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
