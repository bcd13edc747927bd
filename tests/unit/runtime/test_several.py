"""Many are asked a few at a time; one that hangs is left out, and holds up neither the others nor the end."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from llm_magics.runtime.several import Several


def test_all_are_asked_and_never_more_than_a_few_at_a_time() -> None:
    lock, now, most = threading.Lock(), [0], [0]

    def ask(number: int) -> Callable[[], int]:
        def answer() -> int:
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            threading.Event().wait(0.01)
            with lock:
                now[0] -= 1
            return number

        return answer

    several: Several[int] = Several("test", 4)
    assert several(((f"e{number}", ask(number)) for number in range(20)), 30.0) == {f"e{n}": n for n in range(20)}
    assert 1 <= most[0] <= 4
    assert several([], 30.0) == {}


def test_one_that_hangs_is_left_out_until_it_comes_back_and_is_not_asked_twice() -> None:
    back, asked = threading.Event(), []

    def hang() -> str:
        asked.append("hung")
        back.wait(60)
        return "late"

    several: Several[str] = Several("test", 2)
    questions = [("hung", hang), ("well", lambda: "well"), ("more", lambda: "more")]
    for _ in range(3):
        assert several(questions, 2.0) == {"well": "well", "more": "more"}
    assert asked == ["hung"]
    back.set()
    for thread in threading.enumerate():
        if thread.name == "llm-magics test hung":
            thread.join(30)
    assert several(questions, 2.0) == {"hung": "late", "well": "well", "more": "more"}


def test_as_many_hanging_as_are_asked_at_once_do_not_starve_the_rest() -> None:
    back = threading.Event()
    several: Several[str] = Several("test", 2)
    questions = [*((f"hung{number}", lambda: str(back.wait(60))) for number in range(2)), ("well", lambda: "well")]
    several(questions, 2.0)
    assert several(questions, 2.0) == {"well": "well"}
    back.set()


def test_what_one_raises_is_raised_when_all_were_asked() -> None:
    asked = []

    def fails() -> None:
        raise RuntimeError("nobody thought of this")

    several: Several[None] = Several("test", 1)
    with pytest.raises(RuntimeError, match="nobody"):
        several([("bad", fails), ("well", lambda: asked.append("well"))], 30.0)
    assert asked == ["well"]


def test_the_interpreter_ends_while_one_hangs() -> None:
    source = (
        "import threading\n"
        "from llm_magics.runtime.several import Several\n"
        "print(Several('test', 2)([('hung', threading.Event().wait), ('well', lambda: 7)], 0.1), flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "{'well': 7}\n"
