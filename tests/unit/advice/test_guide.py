"""The guide's tables as live objects: no row is lost, each is judged, and the rules agree with the verdicts."""

from __future__ import annotations

import json

import pytest

from llm_magics.advice.guide import side_by_side
from llm_magics.advice.matrix import matrix
from llm_magics.cli import main
from llm_magics.errors import SpecError

# "When to choose", chapter 10, row by row: use case -> the guide's choice.
TABLES = {
    "deepspeed": {
        "High-concurrency serving": "vLLM", "Massive models (175B+)": "DeepSpeed", "Microsoft/Azure stack": "DeepSpeed",
        "OpenAI API compatibility": "vLLM", "Research/experimentation": "DeepSpeed", "Production chatbots": "vLLM",
    },
    "tensorrt_llm": {
        "Maximum H100/A100 perf": "TensorRT-LLM", "AMD ROCm support": "vLLM", "Quick prototyping": "vLLM",
        "Enterprise NVIDIA support": "TensorRT-LLM", "New model architectures": "vLLM",
        "FP8 quantization": "TensorRT-LLM",
    },
    "tgi": {
        "Hugging Face ecosystem": "TGI", "Maximum throughput": "vLLM", "Enterprise features": "TGI",
        "Memory-constrained": "vLLM", "Custom modifications": "vLLM",
    },
}  # fmt: skip
STRENGTHS = {
    "deepspeed": ["ZeRO-Inference", "Custom kernels", "Microsoft ecosystem", "Training+inference"],
    "tensorrt_llm": ["Maximum NVIDIA performance", "FP8 on Hopper", "Kernel fusion", "Production hardened"],
    "tgi": ["Hugging Face integration", "Production ready", "Rust performance", "Enterprise features"],
}
VLLMS = {
    "deepspeed": ["PagedAttention", "Continuous batching", "OpenAI compatible", "Simpler setup"],
    "tensorrt_llm": ["Flexibility", "Rapid development", "Open source", "Simpler workflow"],
    "tgi": ["PagedAttention", "Higher throughput", "Python-native", "Speculative decoding"],
}
FIGURES = {
    "deepspeed": [
        {"vLLM": 2500, "DeepSpeed": 2000, "HF Pipeline": 750}, {"vLLM": 64, "DeepSpeed": 32, "HF Pipeline": 8},
    ],
    "tensorrt_llm": [{"TensorRT-LLM": 25, "vLLM": 40}, {"vLLM": 1, "TensorRT-LLM": 4}],
    "tgi": [],
}  # fmt: skip


@pytest.mark.parametrize("other", TABLES)
def test_every_row_of_the_guide_is_there_and_judged(other: str) -> None:
    found = side_by_side(["vllm", other])
    assert {each.case: each.best for each in found.situations} == TABLES[other]
    for engine, said in ((other, STRENGTHS[other]), ("vllm", VLLMS[other])):
        claims = [each.says for each in found.claims if each.engine == engine]
        assert len(claims) == len(said)
        assert all(claim.startswith(begin) for claim, begin in zip(claims, said, strict=True))
    assert [dict(each.values) for each in found.figures] == FIGURES[other]
    for each in (*found.claims, *found.situations):
        assert each.holds in ("yes", "partly", "no")
        assert each.now
    assert all(each.source and each.date for each in (*found.claims, *found.situations))


@pytest.mark.parametrize("other", TABLES)
def test_rules_and_verdicts_agree(other: str) -> None:
    """Where the guide's choice no longer holds the rules do not name it first, and where it holds they do."""
    for each in side_by_side(["vllm", other]).situations:
        if each.holds == "yes":
            assert each.best in each.first, each
        elif each.holds == "no":
            assert each.first[0] != each.best, each


@pytest.mark.parametrize("engine", ["sglang", "triton", "llamacpp", "ollama"])
def test_other_engines_of_the_guide(engine: str) -> None:
    found = side_by_side([engine])
    assert [each.engine for each in found.others] == [engine]
    assert found.others[0].focus
    assert set(found.others[0].now.split()) <= set(str(found).split())  # the column wraps
    assert not found.situations


def test_names_as_people_write_them() -> None:
    assert list(side_by_side(["vLLM", "TensorRT-LLM", "llama.cpp"]).engines) == ["vllm", "tensorrt_llm", "llamacpp"]
    assert list(side_by_side(["hf transformers"]).engines) == ["transformers"]
    with pytest.raises(SpecError, match="vllm"):
        side_by_side(["vlm"])


def test_only_the_chosen_engines_stand_side_by_side() -> None:
    found = side_by_side(["sglang", "vllm"])
    assert {engine for _, engine in found.matrix.cells} == {"sglang", "vllm"}
    assert len(found.matrix.cells) == 2 * len(matrix().features)
    page = found._repr_mimebundle_()["text/html"]
    assert "<script" not in page
    assert "SGLang beside vLLM" in page
    json.dumps(found.data())


def test_on_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines", "vllm", "tgi", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert {each["case"] for each in data["when_to_choose"]} == set(TABLES["tgi"])
    assert main(["engines", "vllm,deepspeed"]) == 0
    assert "Massive models (175B+)" in capsys.readouterr().out
    assert main(["engines", "nobody"]) == 2
    assert main(["engines", "vllm", "--matrix"]) == 2
