"""What the benchmarks write about themselves: pages that name no host, and none that leaves an engine out."""

from __future__ import annotations

import importlib.util
import platform
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

Script = Callable[[str], Any]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """A benchmark as a module; it finds the modules beside it, as where it is run."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.delitem(sys.modules, "machine", raising=False)

    def load(name: str) -> Any:
        spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
        spec.loader.exec_module(module)  # type: ignore[union-attr]
        return module

    yield load
    sys.modules.pop("machine", None)


@pytest.mark.parametrize("release", ["6.18.44", "6.18.44-cloud-b7-amd64", "6.18.44+rpt-rpi", "6.18.44.el9"])
def test_a_kernel_is_named_by_its_number(script: Script, monkeypatch: pytest.MonkeyPatch, release: str) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "release", lambda: release)
    said = script("machine").system()
    assert said == f"Linux 6.18.44, Python {platform.python_version()}"


@pytest.mark.parametrize("page", sorted((BENCHMARKS / "results").glob("*.md")), ids=lambda page: page.stem)
def test_a_page_names_no_kernel_of_a_host(page: Path) -> None:
    assert re.findall(r"Linux[- ]\d[\d.]*[-+]\S*", page.read_text()) == []


class Measured:
    """What `api.compare` gives, of these engines."""

    def __init__(self, *names: str) -> None:
        self.labels = list(names)
        header = {"engine_version": "1"}
        self.runs = {name: SimpleNamespace(header={"engine": name, **header}) for name in names}

    def report(self, page: Path) -> None:
        page.write_text("<p>")

    def __str__(self) -> str:
        return "the table of " + ", ".join(self.labels)


@pytest.mark.parametrize("options", [["--save"], []])
@pytest.mark.parametrize("measured", [("llamacpp", "vllm"), ("llamacpp",)])
def test_a_page_without_an_engine_that_is_here_takes_no_place(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, measured: tuple[str, ...], options: list[str]
) -> None:
    engines = script("engines")
    saved = tmp_path / "benchmarks/results/engines-on-a-cpu.md"
    saved.parent.mkdir(parents=True)
    saved.write_text("as it was")
    monkeypatch.setattr(engines, "ROOT", tmp_path)
    monkeypatch.setattr(engines.engines, "names", lambda: ["llamacpp", "vllm"])
    monkeypatch.setattr(engines.environments, "locate", lambda engine: object())
    monkeypatch.setattr(engines.api, "compare", lambda **_: Measured(*measured))
    monkeypatch.setattr(sys, "argv", ["engines.py", *options])
    whole = len(measured) == 2
    assert engines.main() == (0 if whole else 1)
    assert ("the table of llamacpp, vllm" in saved.read_text()) == (whole and bool(options))
    assert (saved.read_text() == "as it was") != (whole and bool(options))
