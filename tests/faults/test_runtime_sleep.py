"""Sleep and wake: what is posted to the engine, what everybody sees meanwhile, and what is refused and why."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import scripted_engine
from waiting import until

from llm_magics import engines
from llm_magics.api.targets import resolve
from llm_magics.errors import TargetError
from llm_magics.runtime.server import Server
from llm_magics.verbs import VERBS, parser
from llm_magics.views import tables

if TYPE_CHECKING:
    from conftest import Servers


@pytest.fixture
def sleepy(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Servers:
    """The scripted engine that can sleep, known to the project under its key."""
    real = engines.get
    monkeypatch.setattr(engines, "get", lambda key: scripted_engine.sleepy if key == "scripted" else real(key))
    monkeypatch.setattr(scripted_engine.ScriptedEngine, "options", {"enable_sleep_mode": None}, raising=False)
    return servers


def start(servers: Servers, *args: str, **options: Any) -> Server:
    servers.start(*args, **options)
    return Server("s", servers.registry)


def posted(server: Server) -> list[str]:
    return re.findall(r"POST (.*)", server.logs())


def say(verb: str, *line: str) -> Any:
    return VERBS[verb].run(parser(verb, "%llm").parse_args(list(line)))


def test_it_sleeps_and_wakes_and_everybody_sees_it(sleepy: Servers) -> None:
    server = start(sleepy, enable_sleep_mode=True)
    assert "asleep; `%llm wake s`" in say("sleep", "s").shown
    assert server.asleep
    assert server.state == "ready"
    assert "asleep" in repr(server)
    assert "asleep" in str(tables.servers(sleepy.registry.list()))
    with pytest.raises(TargetError, match="s is asleep") as told:
        resolve("s")
    assert "%llm wake s" in told.value.then
    with pytest.raises(TargetError, match="s is asleep"):
        _ = server.client
    server.sleep()  # once is enough
    assert "s is awake" in say("wake", "s").shown
    assert not server.asleep
    server.wake()
    until(lambda: posted(server) == ["/sleep?level=1 {}", '/wake_up {"model": "m"}'])  # its log is written meanwhile
    assert "asleep" not in str(tables.servers(sleepy.registry.list()))
    server.stop()


def test_an_engine_that_refuses_is_quoted_and_stays_awake(sleepy: Servers) -> None:
    server = start(sleepy, "--refuse-sleep", enable_sleep_mode=True)
    with pytest.raises(TargetError, match="s did not sleep: Scripted answers 500") as told:
        server.sleep()
    assert told.value.why == "no room for the weights"
    assert not server.asleep
    server.stop()


def test_requests_that_are_being_answered_are_not_broken_off(sleepy: Servers) -> None:
    server = start(sleepy, "--running", "2", enable_sleep_mode=True)
    with pytest.raises(TargetError, match="answering 2 requests"):
        server.sleep()
    assert posted(server) == []
    server.stop()


def test_one_that_was_not_started_for_it_says_what_to_type(sleepy: Servers) -> None:
    server = start(sleepy)
    with pytest.raises(TargetError, match="not started so that it can sleep") as told:
        server.sleep()
    assert "--enable-sleep-mode --replace" in told.value.then
    server.stop()
    with pytest.raises(TargetError, match="s is stopped"):
        server.sleep()
    with pytest.raises(TargetError, match="no server 'nobody'"):
        Server("nobody", sleepy.registry).wake()


def test_an_engine_without_it_names_those_that_have_it(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    real = engines.get
    monkeypatch.setattr(engines, "get", lambda key: scripted_engine.engine if key == "scripted" else real(key))
    server = start(servers)
    with pytest.raises(TargetError, match="Scripted cannot sleep") as told:
        server.sleep()
    assert told.value.why == "engines that can: Ollama, SGLang, vLLM" or set(
        told.value.why.removeprefix("engines that can: ").split(", ")
    ) == {"vLLM", "SGLang", "Ollama"}
    server.stop()
