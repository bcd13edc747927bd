"""A run of which every request is refused ends after a few, with the server's words; any other goes on."""

from __future__ import annotations

from typing import Any

import pytest

from llm_magics.load.refusals import Refusals


class Answer:
    """What of a reply is looked at."""

    def __init__(self, status: int | None, error: str | None) -> None:
        self.status, self.error = status, error


def noted(*statuses: int | None, patience: int = 3) -> tuple[list[str], list[bool]]:
    told: list[str] = []
    refusals = Refusals(patience, told.append)
    answers: list[Any] = [Answer(status, None if status == 200 else "HTTP: no such model") for status in statuses]
    return told, [refusals.goes_on(answer) for answer in answers]


def test_the_first_refused_alike_are_told_once() -> None:
    told, on = noted(404, 404, 404, 404)
    assert told == ["the first 3 requests were all refused alike: HTTP: no such model"]
    assert on == [True] * 4
    assert noted(404, 404)[0] == []
    assert noted(404, 404, 404, patience=0)[0] == []


@pytest.mark.parametrize("other", [200, 429, 408, 425, 503, 400, None])
def test_anything_else_among_them_and_nothing_is_told(other: int | None) -> None:
    told, on = noted(404, other, 404)
    assert told == []
    assert on[:2] == [True, False]
