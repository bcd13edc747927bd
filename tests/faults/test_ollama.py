"""Ollama through the public API, with a scripted `ollama`: the model gets in before the server is called ready."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_magics import serve
from llm_magics.api.targets import resolve
from llm_magics.errors import LaunchError, SpecError
from llm_magics.load.probing import probe
from llm_magics.runtime.processes import marked
from llm_magics.runtime.registry import Registry


@pytest.fixture(autouse=True)
def ollama(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An `ollama` on PATH, its models in a folder of the test's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "ollama"
    code = Path(__file__).with_name("scripted_ollama.py")
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {code} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "models"))
    yield program
    assert not [each for record in Registry().list() for each in marked(record.id)]


def test_the_shipped_model_is_imported_and_answers() -> None:
    server = serve("o", engine="ollama", max_num_seqs=8, keep="cell")
    try:
        assert server.model == "tiny:latest"
        target = resolve("o")
        probe(target.endpoint)  # the name is one that it lists
        answer = server.client.chat.completions.create(
            model=server.model, messages=[{"role": "user", "content": "hi"}], stream=True
        )
        assert [chunk.choices[0].delta.content for chunk in answer if chunk.choices] == [" word"] * 3 + [""]
        log = server.logs()
        assert "importing" in log
        assert "parallel=8" in log
        assert "0.20.0" in server.record.engine_version
        assert server.metrics() == {}
    finally:
        server.stop()
    assert server.state == "stopped"


def test_a_model_of_the_library_is_pulled_with_its_progress() -> None:
    server = serve("o", engine="ollama", model="hf.co/org/name:Q4", keep="cell")
    try:
        assert server.model == "name:Q4"
        probe(resolve("o").endpoint)
        assert "pulling hf.co/org/name:Q4 60 %" in server.logs()
    finally:
        server.stop()


@pytest.mark.parametrize("model", ["tiny", "known:1b"])
def test_a_lora_adapter_makes_a_model_of_its_own(model: str, tmp_path: Path) -> None:
    adapter = tmp_path / "lora"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    (adapter / "adapter_config.json").write_text("{}")
    server = serve("o", engine="ollama", model=model, lora_modules={"mine": str(adapter)}, keep="cell")
    try:
        assert server.model == "mine:latest"
        probe(resolve("o").endpoint)
        on = "files" if model == "tiny" else "known:1b"
        assert f"adapters: adapter_model.safetensors, adapter_config.json on {on}" in server.logs() or (
            f"adapters: adapter_config.json, adapter_model.safetensors on {on}" in server.logs()
        )
    finally:
        server.stop()


def test_adapters_that_ollama_cannot_take_are_told_before_it_starts(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="one LoRA adapter"):
        serve("o", engine="ollama", lora_modules={"a": str(tmp_path), "b": str(tmp_path)}, keep="cell")
    with pytest.raises(SpecError, match="no adapter a at"):
        serve("o", engine="ollama", lora_modules={"a": str(tmp_path / "nope")}, keep="cell")


def test_a_model_that_is_not_in_the_library() -> None:
    with pytest.raises(LaunchError, match="there is no such model in Ollama's library") as told:
        serve("o", engine="ollama", model="nobody:1b", keep="cell")
    assert "pull model manifest" in told.value.why


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    """The check of the file's header is ours, and comes first."""
    wrong = tmp_path / "wrong.gguf"
    wrong.write_bytes(b"nothing")
    with pytest.raises(Exception, match="no GGUF file"):
        serve("o", engine="ollama", model=str(wrong), keep="cell")
