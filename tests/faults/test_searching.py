"""Searches against a server whose capacity is given: the answer, the budget, an interrupt, a server that dies."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripted_api import ScriptedApi, Talk, pause
from waiting import until

from llm_magics import paths
from llm_magics.api import bench, benching
from llm_magics.api.stored_runs import load_run
from llm_magics.errors import TargetError

SERVICE = 0.05  # s that one request holds the only slot: at most 20 requests/s, whatever is sent
_slot = threading.Lock()


def one_at_a_time(talk: Talk) -> None:
    with _slot:
        pause(SERVICE)
    talk.start()
    talk.words(talk.tokens)
    talk.finish()


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with ScriptedApi(one_at_a_time).running() as running:
        yield running


def test_a_rate_is_found_that_the_server_can_keep_and_the_budget_is_kept(api: ScriptedApi, tmp_path: Path) -> None:
    began = time.monotonic()
    run = bench(
        api.url, search="slo", slo={"e2e": "600ms"}, goodput=0.9, rate=4, budget="15s", input_tokens=8, output_tokens=2
    )
    assert time.monotonic() - began < 15 + 45  # to start and end its loads, on a machine that does more besides
    found = run.search
    assert found is not None
    assert found.answer is None or found.answer <= 26
    assert not any(probe.holds for probe in found.probes if probe.load > 26)
    loads = [probe.load for probe in found.probes]
    assert loads == sorted(loads) == [point["request_rate"] for point in run.points]
    assert run.status == "complete"
    assert list(paths.spool_dir().iterdir()) == [], "the spools of the probes are taken away"
    stored = load_run(run.id)
    assert stored.search == found
    assert str(run).splitlines()[1].startswith(found.headline)
    again = load_run(str(run.save(tmp_path / "run.json")))
    assert again.search == found


def test_streams_saturate_where_the_server_has_one_slot(api: ScriptedApi) -> None:
    run = bench(api.url, search="saturation", concurrency=1, budget="10s", input_tokens=8, output_tokens=2)
    assert run.search is not None
    assert run.search.answer is not None
    assert run.search.answer <= 8  # two, where nothing holds the machine up meanwhile
    assert [point["max_concurrency"] for point in run.points] == [probe.load for probe in run.search.probes]


def test_an_interrupt_keeps_what_was_measured(api: ScriptedApi) -> None:
    def interrupt() -> None:
        until(lambda: len(list(paths.spool_dir().glob("*.jsonl"))) >= 3)
        time.sleep(0.7)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    run = bench(api.url, search="slo", slo={"e2e": "600ms"}, rate=4, budget="60s", input_tokens=8, output_tokens=2)
    thread.join()
    assert run.search is not None
    assert run.search.why == "interrupted"
    assert "interrupted" in str(run.search)
    assert run.partial
    assert len(run.search.probes) >= 1
    assert load_run(run.id).search == run.search


def test_a_server_that_dies_ends_the_search_with_what_was_measured(api: ScriptedApi) -> None:
    def die() -> None:
        until(lambda: len(list(paths.spool_dir().glob("*.jsonl"))) >= 3)
        api.die()

    thread = threading.Thread(target=die)
    thread.start()
    run = bench(api.url, search="slo", slo={"e2e": "600ms"}, rate=4, budget="60s", input_tokens=8, output_tokens=2)
    thread.join()
    assert run.search is not None
    assert run.search.probes[0].load <= 8
    assert any(probe.requests and probe.good == 0 for probe in run.search.probes) or run.partial


@pytest.mark.parametrize("how", ["interrupt", "death"])
def test_what_ends_the_first_requests_ends_the_search(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    talking = threading.Event()

    def slow(talk: Talk) -> None:
        talking.set()
        talk.start()
        talk.words(1)
        pause(3.0)
        talk.words(talk.tokens - 1)
        talk.finish()

    with ScriptedApi(slow).running() as server:

        def end() -> None:
            talking.wait(60)
            pause(0.3)
            if how == "interrupt":
                os.kill(os.getpid(), signal.SIGINT)
            else:
                gone.set()
                server.die()

        gone = threading.Event()
        real = benching.target_of
        monkeypatch.setattr(
            benching,
            "target_of",
            lambda *given: replace(real(*given), ended=lambda: "the disk was full" if gone.is_set() else None),
        )
        thread = threading.Thread(target=end)
        thread.start()
        began = time.monotonic()
        with pytest.raises((KeyboardInterrupt, TargetError)) as raised:
            bench(server.url, search="slo", slo={"e2e": "600ms"}, budget="120s", input_tokens=8, output_tokens=2)
        thread.join()
    assert time.monotonic() - began < 60
    assert raised.type is (KeyboardInterrupt if how == "interrupt" else TargetError)
    if how == "death":
        assert "the disk was full" in str(raised.value)


@pytest.mark.parametrize("streams_only", [False, True])
def test_a_server_that_refuses_everything_is_an_error_with_its_words(api: ScriptedApi, streams_only: bool) -> None:
    streams = []

    def refuse(body: dict[str, Any]) -> tuple[str, str] | None:
        if body.get("stream"):
            streams.append(body)
        elif streams_only:
            return None
        return "422 Unprocessable Entity", '{"error": {"message": "no adapter of that name"}}'

    api.refuse = refuse
    with pytest.raises(TargetError) as raised:
        bench(api.url, search="slo", slo={"e2e": "1s"}, rate=4, budget="60s", input_tokens=8, output_tokens=2)
    assert "HTTP 422" in str(raised.value)
    assert "no adapter of that name" in str(raised.value)
    assert len(streams) == (2 + 4 if streams_only else 0), "after its warm-up and the first few no load is sent"


def test_a_server_that_refuses_from_some_load_on_ends_the_search_with_what_holds(api: ScriptedApi) -> None:
    calm = [True]
    api.refuse = lambda body: None if calm[0] else ("422 Unprocessable Entity", '{"error": {"message": "no more"}}')

    def weary() -> None:
        until(lambda: len(api.prompts) >= 8)  # four alone, and some of the first probe
        calm[0] = False

    thread = threading.Thread(target=weary)
    thread.start()
    run = bench(api.url, search="slo", slo={"e2e": "1s"}, rate=4, budget="12s", input_tokens=8, output_tokens=2)
    thread.join()
    assert run.search is not None
    assert not any(probe.holds for probe in run.search.probes if probe.load > 4)
    assert any("HTTP 422: no more" in flag for flag in run.flags)
