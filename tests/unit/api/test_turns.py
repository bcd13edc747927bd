"""What a turn's engine is asked first, and what that tells: the wait from the command to a first token."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace
from typing import Any

import pytest
from listening import Quiet, listening

from llm_magics.api import serving, targets, turns
from llm_magics.api.targets import Target
from llm_magics.load import answers
from llm_magics.load.endpoint import Endpoint
from llm_magics.runtime import stop

READY = 12.5  # s from the command to ready


class Engine(Quiet, BaseHTTPRequestHandler):
    """Streams one token; or fails."""

    asked: list[dict[str, Any]]
    fails = False

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        chunk = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "length"}]}
        if self.fails:
            self.say("no", 500)
        else:
            self.say(f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n", kind="text/event-stream")


@pytest.fixture
def engine() -> Iterator[tuple[str, type[Engine]]]:
    handler = type("One", (Engine,), {"asked": []})
    with listening(handler) as server:
        yield f"http://127.0.0.1:{server.server_port}", handler


@pytest.fixture
def turn(engine: tuple[str, type[Engine]], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Starts a turn whose server is `engine`, with these facts of it; the list says how it was cleared away."""
    cleared: list[str] = []
    server = SimpleNamespace(name="qwen", stop=lambda: cleared.append("stopped"))
    monkeypatch.setattr(serving, "launched", lambda prepared: server)
    monkeypatch.setattr(stop, "dismiss", lambda name: cleared.append(f"{name} forgotten"))

    def started(greet: bool = True, **facts: Any) -> Target:
        target = Target("qwen", Endpoint(url=engine[0], model="m"), facts)
        monkeypatch.setattr(targets, "resolve", lambda _: target)
        with turns.started(None, greet=greet) as found:  # type: ignore[arg-type]
            assert not cleared
        assert cleared == ["stopped", "stopped", "qwen forgotten"]
        return found

    return started


def test_an_engine_is_asked_for_one_token_and_the_wait_for_it_comes_on_top_of_its_start(
    turn: Any, engine: tuple[str, type[Engine]], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float | None] = []
    real = answers.answers

    def noted(*words: Any, **options: Any) -> Any:
        found = real(*words, **options)
        given.append(found["qwen"].ttft)
        return found

    monkeypatch.setattr(answers, "answers", noted)
    facts = turn(ready_after=READY, gpus=[]).provenance
    (asked,) = engine[1].asked
    assert asked["stream"] is True
    assert 1 in (asked.get("max_tokens"), asked.get("max_completion_tokens"))
    assert given[0]
    assert facts["first_token_after"] == READY + given[0]
    assert (facts["ready_after"], facts["gpus"]) == (READY, []), "what was known before is known still"


def test_an_engine_that_does_not_answer_is_measured_all_the_same(turn: Any, engine: tuple[str, type[Engine]]) -> None:
    engine[1].fails = True
    assert turn(ready_after=READY).provenance == {"ready_after": READY}
    assert engine[1].asked, "it was asked"


def test_without_the_time_to_ready_there_is_none_to_a_first_token(turn: Any) -> None:
    assert turn(ready_after=None).provenance == {"ready_after": None}


def test_an_engine_that_is_not_greeted_is_asked_nothing(turn: Any, engine: tuple[str, type[Engine]]) -> None:
    assert turn(greet=False, ready_after=READY).provenance == {"ready_after": READY}
    assert not engine[1].asked
