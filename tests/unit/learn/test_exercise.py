"""A check that passed a wrong answer would teach it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from llm_magics.learn.exercise import WrongAnswerError, check


@pytest.mark.parametrize(
    ("answer", "expected", "within"),
    [
        (10.4, 10.0, 0.05), (3, 3, 0.0), ("TTFT ", "ttft", 0.0), (True, True, 0.0), ("a", {"a", "b"}, 0.0),
        ([1], [1], 0.0), (0, 0.0, 0.1),
    ],
)  # fmt: skip
def test_right_answers_pass(answer: Any, expected: Any, within: float) -> None:
    assert check(answer, expected, within=within).startswith("Right")


@pytest.mark.parametrize(
    ("answer", "expected", "within"),
    [
        (10.6, 10.0, 0.05), (4, 3, 0.0), ("tpot", "ttft", 0.0), (False, True, 0.0), ("c", {"a", "b"}, 0.0),
        ("3", 3, 0.0), (1, True, 0.0), (True, 1, 0.0), (math.nan, 1.0, 0.5), (math.inf, 1.0, 0.5),
        (None, "x", 0.0), (-10, 10, 0.1),
    ],
)  # fmt: skip
def test_wrong_answers_fail_with_the_hint(answer: Any, expected: Any, within: float) -> None:
    with pytest.raises(WrongAnswerError) as caught:
        check(answer, expected, within=within, hint="look at the table")
    assert "look at the table" in str(caught.value)
    assert str(expected) not in str(caught.value) or str(expected) in repr(answer)


def test_no_answer_yet_is_told_apart() -> None:
    assert check(..., 3).startswith("Your turn")


@pytest.mark.parametrize(("expected", "said"), [(100, "text, where a number"), ("99", "not it"), (True, "not it")])
def test_a_number_in_quotes_is_told_for_what_it_is(expected: object, said: str) -> None:
    with pytest.raises(WrongAnswerError, match=said):
        check("100", expected)
