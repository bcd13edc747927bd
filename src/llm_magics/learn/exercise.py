"""Checks of the exercises in the tutorials: an answer against what the learner's own cells measured.

A wrong answer ends the cell with an error that gives a hint and not the solution; an unanswered one (`...`) is told
apart, and is no failure, so that a notebook that nobody has worked through still runs to its end.
"""

from __future__ import annotations

import math
from typing import Any

from llm_magics.errors import LLMMagicsError


class WrongAnswerError(LLMMagicsError):
    """The answer to an exercise is wrong."""


class Said(str):
    """A sentence that a cell shows as it is, without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def check(answer: Any, expected: Any, *, hint: str = "", within: float = 0.0) -> Said:
    """Compare an answer with what was measured or computed.

    Parameters
    ----------
    answer
        The learner's; `...` is no answer yet.
    expected
        What it must be; for numbers up to `within`, a share of `expected`. Text is compared without case and spaces
        around it, a set accepts any of its members.
    hint
        Said with a wrong answer.

    Raises
    ------
    WrongAnswerError
        For a wrong answer.
    """
    if answer is ...:
        return Said("Your turn: write your answer in place of ... and run the cell again.")
    if _right(answer, expected, within):
        return Said(f"Right: {answer}.")
    number = isinstance(expected, (int, float)) and not isinstance(expected, bool)
    wrong = "is text, where a number is asked for" if number and isinstance(answer, str) else "is not it"
    raise WrongAnswerError(f"{answer!r} {wrong}.", why=hint, then="change the answer and run the cell again")


def _right(answer: Any, expected: Any, within: float) -> bool:
    if isinstance(expected, (set, frozenset)):
        return any(_right(answer, each, within) for each in expected)
    if isinstance(expected, bool) or isinstance(answer, bool):
        return isinstance(answer, bool) and isinstance(expected, bool) and answer == expected
    if isinstance(expected, str):
        return isinstance(answer, str) and answer.strip().casefold() == expected.strip().casefold()
    if isinstance(expected, (int, float)):
        return (
            isinstance(answer, (int, float))
            and math.isfinite(answer)
            and abs(answer - expected) <= abs(expected) * within + 1e-9
        )
    return bool(answer == expected)
