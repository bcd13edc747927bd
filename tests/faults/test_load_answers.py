"""The same prompt to several servers: what streams is shown, and one that fails stops nobody."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from scripted_api import ScriptedApi, Talk, pause, well

from llm_magics.load.answers import CANCELLED, answers
from llm_magics.load.endpoint import Endpoint
from llm_magics.results.answers import Answer


def refuses(talk: Talk) -> None:
    talk.whole("503 Service Unavailable", json.dumps({"error": {"message": "still loading"}}))


def slow(talk: Talk) -> None:
    talk.start()
    for _ in range(talk.tokens):
        talk.words(1)
        pause(0.5)
    talk.finish()


def test_answers_stream_side_by_side() -> None:
    seen: list[dict[str, Answer]] = []
    with ScriptedApi(slow).running() as one, ScriptedApi(refuses).running() as two, ScriptedApi().running() as gone:
        targets = {"slow": Endpoint(one.url, "m"), "refuses": Endpoint(two.url, "m"), "gone": Endpoint(gone.url, "m")}
        gone.die()
        found = answers(targets, "say word", max_tokens=5, on_update=seen.append)
    assert list(found) == ["slow", "refuses", "gone"]
    good = found["slow"]
    assert (good.text, good.tokens, good.finish, good.error, good.model) == (" word" * 5, 5, "length", None, "m")
    assert good.ttft is not None
    assert good.e2e is not None
    assert good.e2e - good.ttft > 0.5
    assert good.tokens_per_s is not None
    assert 0 < good.tokens_per_s < 4 / 0.5
    assert found["refuses"].error == "HTTP 503: still loading"
    assert "refused" in str(found["gone"].error)
    texts = [len(update["slow"].text) for update in seen]
    assert texts == sorted(texts)
    assert len(set(texts)) > 2  # it was seen growing
    assert seen[-1] == found


def test_same_request_to_all() -> None:
    with ScriptedApi().running() as one, ScriptedApi().running() as two:
        answers({"a": Endpoint(one.url, "m"), "b": Endpoint(two.url, "m")}, "hi <b>", max_tokens=3, temperature=0.5)
    assert one.bodies == two.bodies
    assert (one.bodies[0]["temperature"], one.prompts) == (0.5, ["hi <b>"])


def test_cancel_keeps_what_came() -> None:
    def hangs(talk: Talk) -> None:
        talk.start()
        talk.words(2)
        talk.stall()

    cancel = threading.Event()
    with ScriptedApi(hangs).running() as one, ScriptedApi(well).running() as two:
        found = answers(
            {"hangs": Endpoint(one.url, "m"), "well": Endpoint(two.url, "m")},
            "hi",
            on_update=lambda so_far: cancel.set() if so_far["hangs"].text and so_far["well"].finish else None,
            cancel=cancel,
        )
    assert (found["hangs"].text, found["hangs"].error) == (" word word", CANCELLED)
    assert found["well"].error is None


def hangs_after_two(talk: Talk) -> None:
    talk.start()
    talk.words(2)
    talk.stall()


def interrupt_once(when: Callable[[dict[str, Answer]], bool]) -> Callable[[dict[str, Answer]], None]:
    """As a press of the stop button: raised in the thread that waits, once."""
    pressed: list[bool] = []

    def update(so_far: dict[str, Answer]) -> None:
        if not pressed and when(so_far):
            pressed.append(True)
            raise KeyboardInterrupt

    return update


def test_an_interrupt_keeps_what_came_and_can_be_told() -> None:
    with ScriptedApi(hangs_after_two).running() as one, ScriptedApi(well).running() as two:
        found = answers(
            {"hangs": Endpoint(one.url, "m"), "well": Endpoint(two.url, "m")},
            "hi",
            on_update=interrupt_once(lambda so_far: bool(so_far["hangs"].text and so_far["well"].finish)),
        )
    assert (found["hangs"].text, found["hangs"].error) == (" word word", CANCELLED)
    assert found["well"].ok


def test_an_interrupt_before_the_first_word_is_told() -> None:
    with ScriptedApi(Talk.stall).running() as one:
        found = answers({"a": Endpoint(one.url, "m")}, "hi", on_update=interrupt_once(lambda so_far: True))
    assert (found["a"].text, found["a"].error) == ("", CANCELLED)


def test_an_interrupt_that_no_answer_tells_of_is_raised() -> None:
    """All had ended: the caller must not go on as if nobody had pressed anything."""
    press = interrupt_once(lambda so_far: so_far["a"].finish is not None)
    with ScriptedApi(well).running() as one, pytest.raises(KeyboardInterrupt):
        answers({"a": Endpoint(one.url, "m")}, "hi", on_update=press)


def test_one_that_never_connects_is_cancelled_too() -> None:
    """A listener whose queue is full: connecting hangs, and the interrupt does not wait for it."""
    cancel = threading.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, ExitStack() as held, ScriptedApi().running() as two:
        for _ in range(3):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        found = answers(
            {"deaf": Endpoint(f"http://127.0.0.1:{deaf.getsockname()[1]}", "m"), "well": Endpoint(two.url, "m")},
            "hi",
            on_update=lambda so_far: cancel.set() if so_far["well"].finish else None,
            cancel=cancel,
        )
    assert found["deaf"].error == CANCELLED
    assert found["well"].ok
