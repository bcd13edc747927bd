"""A dry run shows the command where GPU or engine are missing too, says what is missing, and forgives nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_magics.api.serving import dry_run
from llm_magics.engines import environments, hardware
from llm_magics.errors import SpecError
from llm_magics.runtime import gpus


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpus, "gpus", list)
    monkeypatch.setattr(hardware, "has_gpu", lambda: False)
    monkeypatch.setattr(environments, "locate", lambda *_, **__: None)
    monkeypatch.setenv(environments.VARIABLE, str(tmp_path))


def test_a_command_for_a_machine_with_gpu_and_engine(tmp_path: Path) -> None:
    said, command = dry_run("qwen", engine="vllm", model="Qwen/Qwen3-0.6B", gpus=[1], max_model_len=4096).split("\n")
    assert said.startswith("# Missing on this machine: a GPU and vLLM (%llm install vllm).")
    assert "CUDA_VISIBLE_DEVICES=1 " in command
    assert f"{tmp_path}/vllm/bin/python -m vllm" in command
    assert "--max-model-len 4096" in command


def test_auto_takes_as_many_as_the_spec_needs() -> None:
    shown = dry_run("q", engine="vllm", model="Qwen/Qwen3-0.6B", gpus="auto", tensor_parallel_size=4)
    assert "CUDA_VISIBLE_DEVICES=0,1,2,3 " in shown


def test_an_engine_that_is_a_program_is_shown_by_its_name() -> None:
    shown = dry_run("t", engine="tgi", model="Qwen/Qwen3-0.6B")
    assert "a GPU and Text Generation Inference (" in shown
    assert "\ntext-generation-launcher --model-id Qwen/Qwen3-0.6B" in shown


def test_what_is_wrong_in_the_spec_stays_wrong() -> None:
    with pytest.raises(SpecError, match="no option for enable_sleep_mode"):
        dry_run("t", engine="transformers", enable_sleep_mode=True)
    with pytest.raises(SpecError, match="There is no model at /no/such"):
        dry_run("t", engine="vllm", model="/no/such", gpus=[0])
