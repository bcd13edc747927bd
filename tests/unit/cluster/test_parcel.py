"""What goes to a node, and how a command's words find it there."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

from llm_magics.cluster import parcel


def test_the_code_goes_and_runs_from_where_it_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(parcel.pack())) as archive:
        archive.extractall(tmp_path)
    done = subprocess.run(
        [sys.executable, "-P", "-c", "import llm_magics.load.worker as w; print(w.__file__)"],
        capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)}, cwd=tmp_path, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(str(tmp_path))


def test_models_stay_here_unless_they_are_asked_for(tmp_path: Path) -> None:
    gguf = next((parcel.ROOT / "models").rglob("*.gguf"))
    assert len(parcel.pack()) < 2_000_000
    brought = parcel.carried(["--model", str(gguf), str(parcel.ROOT / "cli.py"), "/etc/hostname"])
    assert brought == [str(gguf)]
    with zipfile.ZipFile(io.BytesIO(parcel.pack(brought))) as archive:
        assert f"llm_magics/{gguf.relative_to(parcel.ROOT)}" in archive.namelist()


def test_words_are_moved_to_where_they_lie_on_the_node(tmp_path: Path) -> None:
    config = tmp_path / "s.engine.yaml"
    config.write_text("{}")
    launcher = str(parcel.ROOT / "engines" / "launchers" / "xllamacpp_server.py")
    words = ["/usr/bin/python3", launcher, "--config", str(config), "--port", "1"]
    moved = parcel.moved(words, [str(config)], "/n")
    assert moved == [
        "/usr/bin/python3", "/n/llm_magics/engines/launchers/xllamacpp_server.py", "--config",
        "/n/carried/s.engine.yaml", "--port", "1",
    ]  # fmt: skip
    with zipfile.ZipFile(io.BytesIO(parcel.pack([str(config)]))) as archive:
        assert archive.read("carried/s.engine.yaml") == b"{}"
