"""The same prompt to several servers: what streams is shown, and one that fails stops nobody."""

from __future__ import annotations

import json
import threading

from scripted_api import ScriptedApi, Talk, pause, well

from llm_magics.load.answers import answers
from llm_magics.load.endpoint import Endpoint
from llm_magics.results.answers import Answer


def refuses(talk: Talk) -> None:
    talk.whole("503 Service Unavailable", json.dumps({"error": {"message": "still loading"}}))


def slow(talk: Talk) -> None:
    talk.start()
    for _ in range(talk.tokens):
        talk.words(1)
        pause(0.15)
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
    assert good.e2e - good.ttft > 0.3
    assert good.tokens_per_s is not None
    assert 0 < good.tokens_per_s < 4 / 0.3
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
    assert (found["hangs"].text, found["hangs"].error) == (" word word", "cancelled")
    assert found["well"].error is None
