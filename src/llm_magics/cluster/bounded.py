"""A time limit for calls that know none: a cluster whose head is gone does not answer, not even a farewell."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, do: Callable[[], T]) -> T:
    """What a call gives.

    Parameters
    ----------
    do
        Runs in a thread of its own, which is left behind when it does not come back.

    Raises
    ------
    TimeoutError
        When it has not come back within `seconds`; whatever it raises itself otherwise.
    """
    given: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            given.append(do())
        except BaseException as error:  # noqa: BLE001 - raised below, where somebody waits for it
            failed.append(error)

    thread = threading.Thread(target=run, name="llm-magics-bounded", daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not given:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return given[0]
