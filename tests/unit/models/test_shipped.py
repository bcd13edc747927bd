"""Finding the shipped model: a wrong name must say what there is, before any engine starts."""

from __future__ import annotations

import pytest

from llm_magics import models


def test_tiny_is_shipped_and_nothing_else() -> None:
    assert models.is_shipped("tiny")
    assert not models.is_shipped("Qwen/Qwen3-0.6B")
    assert not models.is_shipped("")


def test_gguf_is_a_file_and_safetensors_a_folder() -> None:
    assert models.path("tiny", "gguf").is_file()
    assert (models.path("tiny", "safetensors") / "model.safetensors").is_file()


def test_unknown_model_names_those_that_ship() -> None:
    with pytest.raises(ValueError, match="there is: tiny"):
        models.path("huge", "gguf")


def test_unknown_format_names_those_that_exist() -> None:
    with pytest.raises(ValueError, match="gguf, safetensors"):
        models.path("tiny", "onnx")  # type: ignore[arg-type]
