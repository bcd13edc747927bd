"""The matrix of nine engines: complete, every cell sourced, nothing of the guide's table lost."""

from __future__ import annotations

import json
import re
from importlib.resources import files

import pytest
import yaml

from llm_magics import engines
from llm_magics.advice.matrix import matrix
from llm_magics.views.matrix import MatrixView

# The guide's quick reference, row by row (chapter 10): vLLM, TGI, TensorRT-LLM, DeepSpeed.
GUIDE = {
    "paged_attention": ("yes", "yes", "yes", "no"),
    "continuous_batching": ("yes", "yes", "yes", "no"),
    "tensor_parallel": ("yes", "yes", "yes", "yes"),
    "quantization": ("INT8/FP8/AWQ/GPTQ", "INT8/GPTQ", "FP8/INT8/INT4", "INT8"),
    "multi_node": ("yes (Ray)", "limited", "yes", "yes"),
    "openai_api": ("yes", "yes", "via wrapper", "no"),
    "ease": ("high", "high", "medium", "medium"),
    "max_perf": ("high", "high", "highest", "high"),
}


def test_every_engine_has_a_sourced_and_dated_word_on_every_feature() -> None:
    found = matrix()
    assert len(found.engines) == 9
    for feature in found.features:
        for engine in found.engines:
            cell = found.cells[feature, engine]
            assert cell.text
            assert cell.mark in ("yes", "partly", "no", "fact")
            if feature == "max_perf":
                assert cell.source == "no general measurement was found"
            else:  # which version, and which file or page of it
                assert re.search(r"\S: \S", cell.source), cell
            assert re.fullmatch(r"20\d\d-\d\d", cell.date)


@pytest.mark.parametrize("feature", GUIDE)
def test_the_guide_is_quoted_in_full(feature: str) -> None:
    found = matrix()
    for engine, said in zip(("vllm", "tgi", "tensorrt_llm", "deepspeed"), GUIDE[feature], strict=True):
        assert found.cells[feature, engine].guide.startswith(said)


def test_what_no_longer_holds_says_what_is_so_now() -> None:
    changed = matrix().changed
    assert {(cell.engine, cell.feature) for cell in changed} >= {
        ("deepspeed", "continuous_batching"),
        ("tensorrt_llm", "openai_api"),
        ("tensorrt_llm", "ease"),
        ("tgi", "multi_node"),
    }
    assert all(cell.why for cell in changed)
    assert all(cell.holds for cell in matrix().cells.values() if cell.guide)


def test_every_source_is_used_and_names_a_version_or_a_day() -> None:
    root = files("llm_magics.advice")
    kept, guide = (yaml.safe_load(root.joinpath(f"{name}.yaml").read_text("utf-8")) for name in ("matrix", "guide"))
    used = {cell[2] for feature in kept["features"] for cell in feature["cells"].values()}
    claims = [claim for pair in guide["pairs"] for engine in pair["strengths"].values() for claim in engine]
    for said in (*claims, *(row for pair in guide["pairs"] for row in pair["choose"]), *guide["others"]):
        used.add(said["source"])
        assert said.get("at") or said["source"] == "none", said
    assert used == set(kept["sources"])
    for key in used - {"none", "here", "vllm-docs", "azure"}:
        assert re.search(r"\d", kept["sources"][key]["title"]), key


def test_the_matrix_of_the_notebook_names_its_marks_and_breaks_no_option() -> None:
    page = matrix()._repr_mimebundle_()["text/html"]
    assert "✓ yes, ~ in part, ✗ no" in page
    assert "✓ yes, ~ in part, ✗ no" in str(matrix())
    assert "response_<wbr>format" in page
    assert '<span class="llmm-whole">--enable</span>-lora' in page


def test_adapters_and_matrix_name_engines_alike() -> None:
    assert set(engines.BUILT_IN) <= set(matrix().engines)


def test_matrix_is_shown_with_every_change_and_no_markup_of_its_own() -> None:
    found = matrix()
    shown = found._repr_mimebundle_()
    changes = MatrixView(found).changes()
    assert str(changes) in str(found)
    for cell in found.changed:
        assert cell.why.split(",")[0] in changes.plain()
    assert len(shown["text/html"]) < 50_000
    assert "<script" not in shown["text/html"]
    json.dumps(found.data())
