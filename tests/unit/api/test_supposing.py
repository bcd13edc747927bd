"""A dry run shows the command where GPU or engine are missing too, says what is missing, and forgives nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_magics.api.serving import dry_run
from llm_magics.engines import environments, hardware
from llm_magics.engines.base import Executable
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


def test_the_build_for_cpus_is_no_vllm_for_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The README's own example, typed where vLLM was installed without a GPU; with one, the build alone is missing."""
    here = str(tmp_path / "vllm/bin/python")
    monkeypatch.setattr(environments, "locate", lambda *_, **__: Executable("0.32.0+cpu", python=here))
    asked = {
        "engine": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", "gpus": [0], "max_model_len": 8192, "quantization": "fp8"
    }  # fmt: skip
    build = "vLLM's build for GPUs (%llm install vllm --gpu). The command where it is there:"
    said, command = dry_run("qwen", **asked).split("\n")
    assert said == f"# Missing on this machine: a GPU and {build}"
    assert "CUDA_VISIBLE_DEVICES=0 " in command
    assert f"{here} -m vllm.entrypoints.cli.main serve Qwen/Qwen2.5-7B-Instruct " in command
    assert "--quantization fp8" in command
    assert "--enforce-eager" not in command, "that is the CPU's"
    monkeypatch.setattr(gpus, "gpus", lambda *_: [gpus.Gpu(0, "u0", "Card", "1", 80 << 30, 0)])
    monkeypatch.setattr(hardware, "has_gpu", lambda: True)
    assert dry_run("qwen", **asked) == f"# Missing on this machine: {build}\n{command}"


def test_the_build_for_cpus_does_for_a_cpu_and_where_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "locate", lambda *_, **__: Executable("0.32.0+cpu", python="/env/bin/python"))
    shown = dry_run("q", engine="vllm", model="tiny")
    assert "Missing" not in shown
    assert "--enforce-eager" in shown
    with pytest.raises(SpecError, match="the vLLM found here is the build for CPUs"):
        dry_run("q", engine="vllm", model="Qwen/Qwen3-0.6B", gpus=[0], python="/env/bin/python")


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
