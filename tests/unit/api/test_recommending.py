"""Recommended cells: each goes through what `%%serve` itself does before a start, so that it runs as it is written."""

from __future__ import annotations

import itertools
import random
import types
from pathlib import Path

import pytest

from llm_magics import engines
from llm_magics.advice import machine
from llm_magics.advice.model_format import format_of, of_quantization
from llm_magics.advice.recommend import questions
from llm_magics.api import recommended_cells
from llm_magics.api.preparing import prepare
from llm_magics.api.recommending import recommend
from llm_magics.engines import environments
from llm_magics.engines.base import Executable
from llm_magics.errors import SpecError
from llm_magics.runtime import gpus
from llm_magics.spec import ServerSpec
from llm_magics.spec.reading import build, read_mapping

GIB = 1 << 30
LARGE, MIDDLE, DEEPSEEK = "meta-llama/Llama-3.1-70B", "meta-llama/Llama-3.1-8B", "deepseek-ai/DeepSeek-V3"


def stand(
    monkeypatch: pytest.MonkeyPatch, *, cards: int = 0, size: float = 80, capability: float = 9.0, ram: float = 64,
    installed: tuple[str, ...] | None = None, kind: str = "",
) -> None:  # fmt: skip
    """A machine with so many GPUs, on which some engines (None: all) are installed."""
    found = [
        gpus.Gpu(number, f"u{number}", "Card", "1", round(size * GIB), 0, capability=capability)
        for number in range(cards)
    ]
    monkeypatch.setattr(gpus, "gpus", lambda registry=None: found)
    monkeypatch.setattr(machine, "memory_free", lambda: round(ram * GIB))
    monkeypatch.setattr(recommended_cells, "_container_tool", lambda: "")
    if kind:
        monkeypatch.setattr(machine, "accelerators", lambda: machine.Accelerators(kind))

    def locate(engine: engines.base.Engine, **_: object) -> Executable | None:
        if installed is not None and engine.key not in installed:
            return None
        version = (engine.tested or ("1.0",))[-1]
        version += "+cpu" if engine.key == "vllm" and not cards and "cpu" not in version else ""
        has_python = bool(engine.install.modules)
        return Executable(version, python="python" if has_python else None, binary=None if has_python else "program")

    monkeypatch.setattr(environments, "locate", locate)
    monkeypatch.setattr("llm_magics.engines.flags_of.known", lambda *_: None)


def spec_of(cell: str) -> ServerSpec:
    """A cell read as a notebook reads it."""
    line, _, body = cell.partition("\n")
    name, _, engine = line.removeprefix("%%serve ").partition(" --engine ")
    return build(ServerSpec, {"name": name, "engine": engine, **read_mapping(body)[0]})


MACHINES = {
    "laptop": {"cards": 0, "ram": 16},
    "T4": {"cards": 1, "size": 14.6, "capability": 7.5},
    "V100": {"cards": 1, "size": 31.7, "capability": 7.0},
    "4090": {"cards": 1, "size": 23.6, "capability": 8.9, "ram": 200},
    "4xH100": {"cards": 4, "size": 79.1, "capability": 9.0, "ram": 1000},
}


@pytest.mark.parametrize("name", MACHINES)
def test_every_cell_of_every_answer_is_prepared(monkeypatch: pytest.MonkeyPatch, name: str, tmp_path: Path) -> None:
    """A third of all answers that decide what can run on each machine, so that each is tried on one or two of them.

    The other answers are drawn anew for each (the seed is fixed).
    """
    stand(monkeypatch, **MACHINES[name])
    asked, dice, cells = questions(), random.Random(3), 0
    models = {
        "gguf": ["tiny"], "safetensors": [MIDDLE, LARGE], "fp8": [DEEPSEEK, "org/Model-FP8"], "any": [None, LARGE],
    }  # fmt: skip
    names = ("format", "need", "structured_output")
    third = list(MACHINES).index(name) % 3
    for values in list(itertools.product(*(asked[key].values for key in names)))[third::3]:
        answers = dict(zip(names, values, strict=True))
        answers |= {key: dice.choice(asked[key].values) for key in ("priority", "traffic", "stage")}
        model = dice.choice(models.get(answers["format"], [f"org/Model-{answers['format'].upper()}"]))
        found = recommend(model, **answers)
        ranked = {choice.engine for choice in found.ranked}
        if not found.cell:
            assert found.cell_notes or not ranked, answers
            continue
        cells += 1
        spec = spec_of(found.cell)
        assert spec.engine in ranked, answers
        line = prepare(spec).command_line
        if model is None:
            assert "tiny" in line
        if spec.engine == "deepspeed" and answers["need"] == "larger-than-memory":
            assert "--offload cpu" in line
        if answers["need"] == "lora":
            assert "lora_modules" in engines.get(spec.engine).options
        if answers["format"] == "gguf":
            assert engines.get(spec.engine).model_format == "gguf"
        if MACHINES[name].get("capability") == 7.5 and spec.engine in ("vllm", "sglang"):
            assert "--dtype float16" in line, "a T4 has no bfloat16"
    assert cells > 10


def test_cell_on_gpus_has_options_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    stand(monkeypatch, cards=4, installed=("vllm",))
    found = recommend(LARGE, traffic="many")
    assert found.answers["hardware"] == "nvidia"
    assert found.answers["format"] == "safetensors"
    assert found.cell.splitlines()[:3] == ["%%serve mine --engine vllm", f"model: {LARGE}", "tensor_parallel_size: 4"]


def test_model_that_fits_nowhere_here_gets_no_cell_and_is_told_what_would_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    stand(monkeypatch, ram=16)
    found = recommend(LARGE)
    assert found.cell == ""
    assert "No engine starts here" in str(found)
    assert any("what would fit" in note for note in found.cell_notes)
    assert "No engine starts here" in found._repr_mimebundle_()["text/html"]


def test_larger_than_memory_is_offloaded_by_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    stand(monkeypatch, cards=1, size=23.6, ram=200, installed=("deepspeed", "vllm"))
    cell = recommend(LARGE, need="larger-than-memory").cell
    assert spec_of(cell).engine == "deepspeed"
    assert spec_of(cell).args == ["--offload", "cpu"]
    stand(monkeypatch, cards=1, size=23.6, ram=64, installed=("deepspeed", "vllm"))
    assert "deepspeed" not in recommend(LARGE, need="larger-than-memory").cell, "its memory is too small for that"


def test_format_is_the_models_own_and_a_contradiction_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    stand(monkeypatch, ram=64)
    found = recommend("Qwen/Qwen3-0.6B")
    assert {"llamacpp", "ollama"} <= {choice.engine for choice in found.excluded}
    assert any("a GGUF of the same model" in note for note in found.cell_notes)
    assert not any("not installed" in note for note in found.cell_notes)
    assert spec_of(recommend("org/Model-GGUF").cell).engine == "ollama"  # the wheel of llama.cpp fetches nothing
    assert spec_of(recommend("org/Model-GGUF").cell).model == "hf.co/org/Model-GGUF"
    assert spec_of(recommend("qwen3:8b").cell).model == "qwen3:8b"
    with pytest.raises(SpecError, match="is in gguf, not in awq"):
        recommend("org/Model-GGUF", format="awq")
    with pytest.raises(SpecError, match="is in safetensors, not in gguf"):
        recommend(MIDDLE, format="gguf")


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("tiny", None), ("org/Model-AWQ", "awq"), ("org/Model-GPTQ-Int4", "gptq"), ("org/Model-NVFP4", "nvfp4"),
        ("org/Model-FP8-dynamic", "fp8"), ("org/Model-bnb-4bit", "bitsandbytes"), ("org/Model-GGUF", "gguf"),
        ("hf.co/org/Model:Q4_K_M", "gguf"), (MIDDLE, "safetensors"), (DEEPSEEK, "fp8"), ("org/Model", None),
    ],
)  # fmt: skip
def test_formats_by_files_and_names(model: str, kind: str | None) -> None:
    assert format_of(model) == kind


def test_formats_of_quantized_checkpoints() -> None:
    def packed(bits: int, kind: str) -> dict:
        groups = {"group_0": {"weights": {"num_bits": bits, "type": kind}}}
        return {"quant_method": "compressed-tensors", "config_groups": groups}

    assert of_quantization(packed(8, "float")) == "fp8"
    assert of_quantization(packed(4, "int")) == "safetensors"
    assert of_quantization({"quant_method": "modelopt", "quant_algo": "NVFP4"}) == "nvfp4"
    assert of_quantization({"quant_method": "awq"}) == "awq"


def test_engines_of_other_makers_gpus_are_not_sent_to_cudas_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    stand(monkeypatch, kind="amd", installed=())
    found = recommend()
    assert found.answers["hardware"] == "amd"
    assert found.ranked[0].engine == "vllm"
    assert "build for amd" in found.ranked[0].here
    assert spec_of(found.cell).engine not in ("vllm", "sglang")
    assert any("vLLM ranks higher" in note for note in found.cell_notes)


def test_table_and_cell_say_that_what_is_installed_is_the_build_for_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    stand(monkeypatch, kind="cpu", installed=("llamacpp", "vllm"))
    found = recommend(priority="performance", hardware="nvidia")
    assert found.ranked[0].engine == "vllm"
    assert found.ranked[0].here.endswith("+cpu, the build for CPUs; for a GPU: %llm install vllm --gpu")
    assert spec_of(found.cell).engine == "vllm", "which runs here all the same"
    assert found.cell_notes[:2] == (
        "the answer is for nvidia; this machine has cpu",
        "the vLLM here is the build for CPUs; for a GPU: %llm install vllm --gpu",
    )
    assert "--python PATH" in {each.engine: each.here for each in recommend(hardware="amd").ranked}["vllm"]
    here = {each.engine: each.here for each in recommend(hardware="cpu").ranked}["vllm"]
    assert here.endswith("+cpu"), "for a CPU it is the right one"
    monkeypatch.setattr(machine, "accelerators", lambda: machine.Accelerators("nvidia", 9.0))
    beside_a_gpu = recommend(priority="performance")
    assert beside_a_gpu.cell_notes == ("the vLLM here is the build for CPUs; for a GPU: %llm install vllm --gpu",)


def test_measurement_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    class Comparison:
        verdict = "transformers is faster"

        def __init__(self, runs: dict[str, float]) -> None:
            self.runs = {
                key: types.SimpleNamespace(header={"engine": key}, points=[{"output_throughput": value}])
                for key, value in runs.items()
            }

    asked: dict[str, object] = {}

    def compare(**options: object) -> Comparison:
        asked.update(options)
        return Comparison({"llamacpp": 100.0, "transformers": 900.0})

    stand(monkeypatch, installed=("llamacpp", "transformers"))
    monkeypatch.setattr("llm_magics.api.comparing.compare", compare)
    found = recommend(measure=True)
    assert asked["engines"] == ["llamacpp", "transformers"]
    assert asked["rounds"] == 3
    assert [(choice.engine, choice.measured) for choice in found.ranked[:2]] == [
        ("transformers", 900.0),
        ("llamacpp", 100.0),
    ]
    assert "--engine transformers" in found.cell
    assert "Measured here: transformers is faster" in str(found)
    stand(monkeypatch, installed=("llamacpp", "transformers", "vllm", "sglang", "deepspeed"))
    best = [
        choice.engine
        for choice in recommend().ranked
        if choice.engine in ("llamacpp", "vllm", "sglang", "transformers", "deepspeed")
    ]
    recommend(measure=True)
    assert asked["engines"] == best[:3], "the best by the rules, and no more: each is started anew in every round"


def test_measurement_of_what_cannot_run_names_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    stand(monkeypatch, installed=("llamacpp", "transformers"))
    with pytest.raises(SpecError, match="not two engines") as error:
        recommend("org/Model-GGUF", measure=True)
    assert "llama.cpp" in error.value.why
