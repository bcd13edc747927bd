"""The wheel is what users get: it must hold the model and the styles, stay small, and need no engine to be imported."""

from __future__ import annotations

import json
import os
import re
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "labextension" / "dist"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    target = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(target), str(ROOT)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert len(list(target.glob("*.tar.gz"))) == 1
    return zipfile.ZipFile(next(target.glob("*.whl")))


def test_wheel_holds_what_a_user_needs_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    tracked = subprocess.run(
        ["git", "ls-files", "src/llm_magics"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    tutorials = {f"llm_magics/learn/notebooks/{path.name}" for path in (ROOT / "examples").glob("*.ipynb")}
    assert {name.removeprefix("src/") for name in tracked} | tutorials == {
        name for name in names if ".dist-info/" not in name and ".data/" not in name
    }


def test_installing_the_wheel_enables_both_halves_of_the_sidebar(wheel: zipfile.ZipFile) -> None:
    """What Jupyter reads of its own accord: nothing is to be typed, and no node is needed."""
    data = {name.partition(".data/data/")[2]: name for name in wheel.namelist() if ".data/data/" in name}
    enabled = json.loads(wheel.read(data["etc/jupyter/jupyter_server_config.d/llm_magics.json"]))
    assert enabled == {"ServerApp": {"jpserver_extensions": {"llm_magics.lab": True}}}
    if shutil.which("node") is None and not BUILT.is_dir():
        pytest.skip("there is no node, so this wheel is without the sidebar")
    front = json.loads(wheel.read(data["share/jupyter/labextensions/llm-magics/package.json"]))
    entry = front["jupyterlab"]["_build"]["load"]
    assert f"share/jupyter/labextensions/llm-magics/{entry}" in data
    assert "share/jupyter/labextensions/llm-magics/install.json" in data
    script = sum(wheel.getinfo(name).file_size for place, name in data.items() if place.endswith(".js"))
    assert script < 60_000


def test_a_fresh_environment_has_both_halves_enabled(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """As a user would look, after `pip install` and nothing else; Jupyter itself is lent by the running environment.

    What that has enabled, this package among it, is not seen: only its modules are on the path.
    """
    venv.create(tmp_path / "new", symlinks=True)
    python = tmp_path / "new" / "bin" / "python"
    around = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "PYTHON"))}
    around |= {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}

    def run(*words: str) -> str:
        done = subprocess.run([python, *words], env=around, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)

    # In front of all that is lent stands what is installed here: a line of a .pth file goes to the end of the path.
    own = next((tmp_path / "new").glob("lib/python*/site-packages"))
    (own / "lent.pth").write_text("\n".join(site.getsitepackages()))
    assert wheel.filename is not None
    run("-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-compile", wheel.filename)
    assert run("-c", "import llm_magics; print(llm_magics.__file__)").startswith(str(own))

    here = re.escape(str(tmp_path / "new"))
    enabled = run("-c", "from jupyter_server.extension.serverextension import main; main()", "list")
    assert re.search(rf"{here}/etc/jupyter\n +llm_magics\.lab +enabled\n", enabled), enabled
    assert re.search(r"llm_magics\.lab .*OK", enabled), enabled  # it was imported, too
    if any("/labextensions/" in name for name in wheel.namelist()):
        enabled = run("-c", "from jupyterlab.labextensions import main; main()", "list")
        assert re.search(rf"{here}/share/jupyter/labextensions\n +llm-magics v\S+ +enabled +OK", enabled), enabled


def test_wheel_is_small(wheel: zipfile.ZipFile) -> None:
    assert sum(item.compress_size for item in wheel.infolist()) < 10_000_000


def test_core_needs_no_heavy_package(wheel: zipfile.ZipFile) -> None:
    metadata = next(name for name in wheel.namelist() if name.endswith("METADATA"))
    message = Parser().parsestr(wheel.read(metadata).decode())
    needed = [line for line in message.get_all("Requires-Dist", []) if "extra ==" not in line]
    for heavy in ("torch", "vllm", "transformers", "jupyter_server", "jupyterlab", "ipywidgets"):
        assert not any(line.startswith(heavy) for line in needed), needed
    assert not any("==" in line.split(";")[0] for line in needed)
