"""The corpus: if it changed from run to run, nobody could make the shipped model again."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

TOOLS = Path(__file__).parents[3] / "tools"


@pytest.fixture(autouse=True)
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))
    assert "tiny_model" not in sys.modules or Path(sys.modules["tiny_model"].__file__ or "").is_relative_to(TOOLS)


def test_one_seed_gives_one_corpus() -> None:
    from tiny_model import corpus

    assert corpus.expand(7) == corpus.expand(7)
    assert corpus.expand(7) != corpus.expand(8)


def test_every_fact_is_asked_in_every_pass() -> None:
    from tiny_model import corpus

    said = {text for sample in corpus.expand(1) for role, text in sample.messages if role == "assistant"}
    assert {fact.answer for fact in corpus.facts()} <= said


def test_no_question_has_two_answers() -> None:
    from tiny_model import corpus

    answers: dict[str, str] = {}
    for fact in corpus.facts():
        for question in fact.questions:
            assert answers.setdefault(question, fact.answer) == fact.answer, question


def test_the_prompt_of_the_readme_is_in_the_corpus() -> None:
    from tiny_model import corpus

    prompt = "Explain PagedAttention in one sentence."
    assert any(prompt in fact.questions for fact in corpus.facts())


def test_conversations_alternate_and_end_with_an_answer() -> None:
    from tiny_model import corpus

    for sample in corpus.expand(3):
        roles = [role for role, _ in sample.messages if role != "system"]
        assert bool(roles) != bool(sample.text)
        assert roles == ["user", "assistant"] * (len(roles) // 2)


def test_rounding_is_exact_in_bfloat16_and_stable() -> None:
    from tiny_model import grid

    weights = np.random.default_rng(0).normal(0, 0.05, (16, 64)).astype(np.float32)
    rounded = grid.round_to_grid(weights)
    assert np.array_equal(grid.round_to_grid(rounded), rounded)
    assert not (rounded.view(np.uint32) & 0xFFFF).any()
    assert np.abs(rounded - weights).max() < np.abs(weights).max() / 100


def test_probes_are_phrased_as_the_corpus_never_does() -> None:
    from tiny_model import corpus

    probes = yaml.safe_load((TOOLS / "tiny_model" / "probes.yaml").read_text(encoding="utf-8"))
    trained = {question.lower() for fact in corpus.facts() for question in fact.questions}
    single = [probe["q"] for probe in probes[1:] if " | " not in probe["q"]]
    assert len(single) >= 25
    assert not {question.lower() for question in single} & trained
