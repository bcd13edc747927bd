"""A sweep over a server that counts no tokens: it still finds which setting carries the most, and says by what."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from scripted_api import ScriptedApi, Talk, well

from llm_magics.api import bench, turns
from llm_magics.api.benching import target_of
from llm_magics.api.targets import Target
from llm_magics.results.sweep import Sweep


def silent(talk: Talk) -> None:
    """No `usage`, as an old server or a proxy that drops it."""
    talk.start()
    talk.words(talk.tokens)
    talk.finish(usage=False)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ScriptedApi]]:
    """Servers for `max_num_seqs` 1 and 2, in place of engines that a sweep would start."""
    with ScriptedApi(silent, usage=False).running() as one, ScriptedApi(silent, usage=False).running() as two:

        @contextmanager
        def started(prepared: Any) -> Iterator[Target]:
            target = target_of((one, two)[prepared.spec.max_num_seqs - 1].url, None, None)
            yield target
            target.close()

        monkeypatch.setattr(turns, "started", started)
        yield [one, two]


def swept() -> Sweep:
    found = bench(
        engine="llamacpp", sweep={"max_num_seqs": [1, 2]}, concurrency=[1, 2], requests=8, warmup=0,
        input_tokens=8, output_tokens=3, slo={"ttft": "10s"},
    )  # fmt: skip
    assert isinstance(found, Sweep)
    return found


def test_settings_of_a_server_without_token_counts_are_judged_by_requests(settings: list[ScriptedApi]) -> None:
    found = swept()
    assert len(found.points) == 4
    top = max(found.points, key=lambda point: point.figures["request_throughput"])
    assert found.headline.startswith(f"{top.setting} gives the most: ")
    assert "requests/s at" in found.headline
    assert top in found.front()
    assert any("does not count its tokens" in each for each in found.best)
    assert any(f"Within the SLO {top.setting}" in each and "requests/s" in each for each in found.best)
    assert all("the server gave no token counts" in " ".join(run.flags) for run in found.runs.values())
    text = str(found._drawn_by().text(found))
    assert "req/s" in text
    assert "tok/s" not in text
    assert "more requests/s without" in text
    figure = found.figure
    assert "Requests/s" in str(figure.layout.annotations)
    drawn = next(trace for trace in figure.data if trace.name == top.setting)
    assert top.figures["request_throughput"] in drawn.y


def test_one_setting_that_does_not_count_has_all_judged_by_requests(settings: list[ScriptedApi]) -> None:
    """Tokens of the one against nothing of the other would decide by who counts."""
    settings[0].script, settings[0].usage = well, True
    found = swept()
    assert len(found.points) == 4
    assert found.points[0].value("output_throughput")
    assert "requests/s at" in found.headline


def test_where_all_count_tokens_decide(settings: list[ScriptedApi]) -> None:
    for each in settings:
        each.script, each.usage = well, True
    found = swept()
    assert "output tokens/s at" in found.headline
    assert "req/s" not in str(found._drawn_by().text(found))


def test_what_answered_nothing_is_no_point(settings: list[ScriptedApi]) -> None:
    settings[0].refuse = lambda body: ("503 Service Unavailable", "busy") if body.get("stream") else None
    found = swept()
    assert {point.setting for point in found.points} == {"max_num_seqs=2"}
