"""A failure's pattern is shown as the words that stand in a log."""

from __future__ import annotations

import re

import pytest

from llm_magics import engines
from llm_magics.engines.common_failures import COMMON_FAILURES
from llm_magics.views.signature import filled, readable


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (r"NCCL error.*|ncclSystemError", ["NCCL error…", "ncclSystemError"]),
        (r"[Aa]ddress already in use", ["address already in use"]),
        (r"open '(.*)' \((\d+)\)", ["open '…' (…)"]),
        (r"[Ff]ailed to (?:load|apply) (?:lora )?adapter", ["failed to load adapter"]),
        (r"dtypes: \[([^\]]*)\]", ["dtypes: […]"]),
    ],
)
def test_the_words_of_a_pattern(pattern: str, said: list[str]) -> None:
    assert readable(pattern) == said


def test_every_signature_has_words_and_no_syntax() -> None:
    every = [*COMMON_FAILURES, *(each for key in engines.names() for each in engines.get(key).failures)]
    for failure in every:
        words = readable(failure.pattern)
        assert words, failure.pattern
        assert not any(re.search(r"\\[dSsw]|\(\?|\.\*|\.\+", word) for word in words), words
        assert not re.search(r"\{\d\}|\{\{", filled(failure.cause) + filled(failure.remedy))
