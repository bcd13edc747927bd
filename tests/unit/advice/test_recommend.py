"""Recommendations: no engine is recommended for what it cannot do, and the guide's own answers are judged."""

from __future__ import annotations

import itertools
import json
import sys
import types

import pytest

from llm_magics.advice.matrix import matrix
from llm_magics.advice.recommend import questions, recommend
from llm_magics.errors import SpecError


def first(**answers: str) -> str:
    return recommend(answers, {"hardware": "cpu"}).ranked[0].engine


@pytest.mark.parametrize(
    ("answers", "engine"),
    [
        ({"hardware": "nvidia", "traffic": "many", "stage": "production"}, "vllm"),
        ({"hardware": "nvidia", "traffic": "shared-prefix", "structured_output": "yes"}, "sglang"),
        ({"hardware": "nvidia", "format": "nvfp4", "need": "nvidia-support"}, "tensorrt_llm"),
        ({"hardware": "amd", "priority": "flexibility"}, "vllm"),
        ({"hardware": "tpu"}, "vllm"),
        ({"hardware": "cpu", "priority": "ease"}, "llamacpp"),
        ({"hardware": "nvidia-old"}, "llamacpp"),
        ({"hardware": "nvidia", "need": "mixed-models"}, "triton"),
        ({"hardware": "nvidia", "need": "larger-than-memory", "traffic": "offline"}, "deepspeed"),
        ({"hardware": "nvidia", "need": "new-architecture", "priority": "flexibility"}, "transformers"),
        ({"hardware": "nvidia", "priority": "ease", "stage": "production"}, "vllm"),  # the guide: TGI
    ],
)
def test_situations_of_the_research_get_their_first_choice(answers: dict[str, str], engine: str) -> None:
    assert first(**answers) == engine


def test_nobody_is_sent_to_what_cannot_run() -> None:
    asked = questions()
    never = {
        ("hardware", "cpu"): {"tensorrt_llm"},
        ("hardware", "amd"): {"tensorrt_llm"},
        ("format", "gguf"): {"tensorrt_llm", "tgi"},
        ("format", "awq"): {"llamacpp", "ollama"},
        ("format", "safetensors"): {"llamacpp", "ollama"},
        ("structured_output", "yes"): {"transformers", "triton", "deepspeed", "tensorrt_llm"},
    }
    names = ("priority", "hardware", "format", "structured_output", "stage")
    for values in itertools.product(*(asked[name].values for name in names)):
        answers = dict(zip(names, values, strict=True))
        found = recommend(answers, {})
        ranked = {choice.engine for choice in found.ranked}
        for (question, value), engines in never.items():
            if answers[question] == value:
                assert not ranked & engines, answers
        if answers["stage"] == "production" and len(ranked) > 1:
            assert found.ranked[0].engine != "tgi", answers  # maintenance mode
        assert len(ranked) + len(found.excluded) == len(matrix().engines)


@pytest.mark.parametrize(
    ("answers", "says", "holds"),
    [
        ({"priority": "performance", "hardware": "nvidia"}, "TensorRT-LLM", "partly"),
        ({"priority": "performance", "hardware": "amd"}, "vLLM", "yes"),
        ({"priority": "ease", "stage": "production"}, "TGI", "no"),
        ({"priority": "ease", "stage": "dev"}, "vLLM", "yes"),
        ({"priority": "flexibility", "hardware": "tpu"}, "vLLM", "yes"),
        ({"priority": "flexibility", "hardware": "nvidia"}, "TensorRT-LLM", "no"),
    ],
)
def test_each_leaf_of_the_guides_tree_is_there_and_judged(answers: dict[str, str], says: str, holds: str) -> None:
    found = recommend(answers, {"hardware": "nvidia"}).guide
    assert (found["answer"], found["holds"]) == (says, holds)
    assert found["now"]


def test_every_rule_can_fire_and_gives_its_reason_and_source() -> None:
    from llm_magics.advice.recommend import _rules

    asked, known = questions(), set(matrix().engines)
    for rule in _rules()["rules"]:
        for key, values in rule["when"].items():
            assert set(values) <= set(asked[key].values), rule["id"]
        assert set(rule.get("score", {})) | set(rule.get("exclude", [])) <= known, rule["id"]
        oldest = float(rule["below"]) - 0.1 if "below" in rule else None
        answers = {key: values[0] for key, values in rule["when"].items()}
        found = recommend(answers, {"hardware": "nvidia"}, capability=oldest)
        fired = [reason for choice in (*found.ranked, *found.excluded) for reason in choice.reasons]
        assert any(reason.rule == rule["id"] and reason.why and reason.source for reason in fired)


def test_lora_is_claimed_of_no_engine_whose_adapter_cannot() -> None:
    from llm_magics import engines

    found = recommend({"need": "lora", "hardware": "nvidia"}, {})
    able = {key for key in engines.BUILT_IN if "lora_modules" in engines.get(key).options}
    assert {choice.engine for choice in found.ranked} <= able
    assert "vllm" in able


@pytest.mark.parametrize(
    ("wanted", "capability", "out"),
    [
        ("fp8", 9.0, set()),
        ("fp8", 8.0, {"tensorrt_llm", "transformers"}),  # an A100 computes nothing in FP8
        ("nvfp4", 9.0, {"tensorrt_llm", "transformers"}),
        ("nvfp4", 10.0, set()),
        ("mxfp4", 7.5, {"vllm", "sglang", "tensorrt_llm"}),
        ("any", 7.5, {"tensorrt_llm"}),
        ("fp8", None, set()),
    ],
)
def test_compute_capability_counts(wanted: str, capability: float | None, out: set[str]) -> None:
    found = recommend({"hardware": "nvidia", "format": wanted}, {}, capability=capability)
    by_age = {choice.engine for choice in found.excluded for reason in choice.reasons if reason.rule.startswith("cc-")}
    assert by_age - {"triton"} == out


def test_wrong_answers_name_the_right_ones() -> None:
    with pytest.raises(SpecError, match="nvidia"):
        recommend({"hardware": "nvidai"}, {})
    with pytest.raises(SpecError, match="priority"):
        recommend({"priorty": "ease"}, {})


def test_answer_is_shown_and_told_as_data() -> None:
    found = recommend({"priority": "ease"}, {"hardware": "cpu"})
    json.dumps(found.data())
    assert "(assumed)" in str(found)
    assert "says vLLM: that" in str(found)
    assert "TGI" in found._repr_mimebundle_()["text/html"]


def test_form_asks_every_question_and_follows_the_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in of the three widgets, so that it runs where ipywidgets is not installed."""

    class Widget(types.SimpleNamespace):
        def observe(self, handler: object, name: str) -> None:
            object.__setattr__(self, "handler", handler)

        def __setattr__(self, name: str, value: object) -> None:
            object.__setattr__(self, name, value)
            if name == "value" and hasattr(self, "handler"):
                self.handler({})

    class Box(Widget):
        def __init__(self, children: list[object]) -> None:
            super().__init__(children=children)

    fake = types.SimpleNamespace(Dropdown=Widget, Output=Widget, VBox=Box)
    monkeypatch.setitem(sys.modules, "ipywidgets", fake)
    from llm_magics.views.recommend import form

    start = recommend({}, {"hardware": "cpu"})
    box = form(questions(), start.answers, lambda said: recommend(said, {}))
    *fields, shown = box.children
    assert len(fields) == len(questions())
    before = shown.outputs[0]["data"]["text/plain"]
    fields[1].value = "tpu"
    assert shown.outputs[0]["data"]["text/plain"] != before


def test_a_reason_is_the_engines_own() -> None:
    found = recommend({"hardware": "nvidia"}, {})
    said = {
        choice.engine: reason.why for choice in found.ranked for reason in choice.reasons if reason.rule == "hw-nvidia"
    }
    assert len(said) > 5
    assert len(set(said.values())) == len(said)
    assert not [engine for engine, why in said.items() if engine != "vllm" and "vLLM has" in why]


def test_a_cell_in_a_terminal_begins_with_its_magic() -> None:
    from dataclasses import replace

    found = replace(recommend({}, {"hardware": "cpu"}), cell="%%serve mine\nmodel: tiny", cell_notes=("a note",))
    assert str(found).endswith("%%serve mine\n# a note\nmodel: tiny")
