"""Whether an answer obeys its schema is the lesson's measure: it must fail on what does not."""

from __future__ import annotations

import pytest

from llm_magics.learn.structured import wrong

SCHEMA = {
    "type": "object", "required": ["engine", "tokens"], "additionalProperties": False,
    "properties": {"engine": {"type": "string", "enum": ["vllm", "sglang"]}, "tokens": {"type": "integer"},
                   "tags": {"type": "array", "items": {"type": "string"}}},
}  # fmt: skip


@pytest.mark.parametrize("text", ['{"engine": "vllm", "tokens": 3}', '{"engine":"sglang","tokens":0,"tags":["a"]}'])
def test_what_obeys(text: str) -> None:
    assert wrong(text, SCHEMA) == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Sure! {}", "no JSON"), ('{"engine": "vllm"', "no JSON"), ("[]", "no object"), ('{"tokens": 3}', "no engine"),
        ('{"engine": "tgi", "tokens": 3}', "none of"), ('{"engine": "vllm", "tokens": 3.5}', "no integer"),
        ('{"engine": "vllm", "tokens": true}', "no integer"), ('{"engine": "vllm", "tokens": 3, "x": 1}', "has x"),
        ('{"engine": "vllm", "tokens": 3, "tags": [1]}', "tags[0] is no string"),
    ],
)  # fmt: skip
def test_what_does_not(text: str, why: str) -> None:
    assert why in wrong(text, SCHEMA)
