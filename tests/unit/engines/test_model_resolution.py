"""What `model:` may be: shipped, local, or on a hub; everything the disk tells is told before anything starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_magics import engines, models
from llm_magics.engines.models import beside, context_length, resolve
from llm_magics.errors import SpecError
from llm_magics.spec import ServerSpec

GGUF = models.path("tiny", "gguf")
FOLDER = models.path("tiny", "safetensors")


def resolved(key: str, model: str) -> str:
    return resolve(engines.get(key), ServerSpec(name="s", model=model))


def test_tiny_is_given_to_each_engine_in_its_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)  # a folder of that name is not meant
    assert resolved("llamacpp", "tiny") == str(GGUF)
    assert resolved("vllm", "tiny") == resolved("transformers", "tiny") == str(FOLDER)


def test_a_shipped_model_that_is_missing_is_an_installations_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_FOLDER", Path("/nowhere"))
    with pytest.raises(SpecError, match="install llm-magics again"):
        resolved("vllm", "tiny")


@pytest.mark.parametrize("model", ["Qwen/Qwen3-0.6B", "gpt2", "org/name-GGUF:Q4_K_M"])
def test_a_hub_id_is_passed_on(model: str) -> None:
    assert resolved("vllm", model) == resolved("llamacpp", model) == model


def test_local_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "name").symlink_to(FOLDER)
    monkeypatch.chdir(tmp_path)
    assert resolved("vllm", "org/name") == resolved("vllm", "./org/name") == str(tmp_path / "org" / "name")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolved("vllm", "~/org/name") == str(tmp_path / "org" / "name")


@pytest.mark.parametrize("model", ["/models/none", "./none", "none.gguf", "~/none", "a folder/with spaces"])
def test_a_path_that_does_not_exist_is_named(model: str) -> None:
    with pytest.raises(SpecError, match="There is no model at"):
        resolved("llamacpp", model)


def test_a_corrupt_gguf_is_refused_with_what_is_wrong(tmp_path: Path) -> None:
    wrong = tmp_path / "m.gguf"
    wrong.write_bytes(b"\x80\x02}q\x00 something else")
    with pytest.raises(SpecError, match=r"is no GGUF file.*\n.*begins with"):
        resolved("llamacpp", str(wrong))
    for size in (0, 3, 10, 40, 200):
        wrong.write_bytes(GGUF.read_bytes()[:size])
        with pytest.raises(SpecError, match="is no GGUF file"):
            resolved("llamacpp", str(wrong))
    wrong.write_bytes(b"GGUF\x01\x00\x00\x00" + bytes(64))
    with pytest.raises(SpecError, match="version 1"):
        resolved("llamacpp", str(wrong))
    wrong.write_bytes(b"GGUF\x03\x00\x00\x00" + b"\xff" * 64)
    with pytest.raises(SpecError, match="corrupt"):
        resolved("llamacpp", str(wrong))


def test_the_wrong_kind_says_what_was_found_and_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="reads one GGUF file") as told:
        resolved("llamacpp", str(FOLDER))
    assert str(GGUF) in told.value.then, "the folder holds one: it is named"
    with pytest.raises(SpecError, match="reads a model's folder") as told:
        resolved("vllm", str(GGUF))
    assert "llamacpp" in told.value.then
    (tmp_path / "notes.txt").touch()
    with pytest.raises(SpecError, match=r"no config.json.\n.*notes.txt"):
        resolved("transformers", str(tmp_path))
    with pytest.raises(SpecError, match=r"no \*.gguf in it"):
        resolved("llamacpp", str(tmp_path))


def test_what_goes_with_a_model_is_there_and_its_path_written_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No shell sees these paths: an engine would ask a hub for `~/own`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "own").mkdir()
    draft = {"method": "draft_model", "model": "~/own"}
    spec = beside(
        ServerSpec(
            name="s", model="org/m", tokenizer="~/own", lora_modules={"a": "~/own", "b": "org/b"}, speculative=draft
        )
    )
    own = str(tmp_path / "own")
    assert (spec.tokenizer, spec.lora_modules) == (own, {"a": own, "b": "org/b"})
    assert spec.speculative == {**draft, "model": own}
    plain = ServerSpec(name="s", tokenizer="org/t")
    assert beside(plain) == plain
    for fields, what in (
        ({"tokenizer": "~/won"}, "tokenizer at ~/won"),
        ({"lora_modules": {"a": str(tmp_path / "won")}}, "adapter a at /"),
        ({"speculative": {"method": "draft_model", "model": "./won"}}, "draft model at ./won"),
    ):
        with pytest.raises(SpecError, match=f"There is no {what}") as told:
            beside(ServerSpec(name="s", **fields))
        assert "does not exist" in told.value.why
    with pytest.raises(SpecError, match="beside it: own"):
        beside(ServerSpec(name="s", tokenizer="~/won"))


def test_the_context_is_read_from_both_formats() -> None:
    assert context_length(str(GGUF)) == context_length(str(FOLDER)) == 2048


@pytest.mark.parametrize(
    ("config", "length"),
    [
        ({"max_position_embeddings": 4096}, 4096),
        ({"text_config": {"max_position_embeddings": 8192}}, 8192),
        ({"max_position_embeddings": 4096, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, None),
        ({"max_position_embeddings": 4096, "rope_scaling": None}, 4096),
        ({}, None),
        ([], None),
    ],
)
def test_the_context_of_a_configuration(tmp_path: Path, config: object, length: int | None) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert context_length(str(tmp_path)) == length


def test_no_context_where_nothing_says_it(tmp_path: Path) -> None:
    assert context_length("org/name") is None
    (tmp_path / "config.json").write_text("{")
    assert context_length(str(tmp_path)) is None
