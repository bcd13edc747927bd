"""Sleep and wake as they are asked for: the key goes to this machine only, and a broken answer is told in words."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from listening import Quiet, listening

from llm_magics.errors import TargetError
from llm_magics.runtime import identity
from llm_magics.runtime.published import Published
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.runtime.sleeping import sleep, wake


@pytest.fixture
def engine() -> Iterator[Any]:
    """Answers as vLLM does, and remembers what was asked; `broken` is what it says instead."""

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            server: Any = self.server
            server.asked.append((self.path.partition("?")[0], self.headers.get("Authorization")))
            if server.broken:
                self.wfile.write(server.broken)
                return
            self.say("")

        def do_GET(self) -> None:
            self.say(self.server.page)  # type: ignore[attr-defined]

    server: Any
    with listening(Handler) as server:
        server.asked, server.broken, server.page = [], b"", b"vllm:num_requests_running 0\n"
        yield server


@pytest.fixture
def registry(engine: Any, tmp_path: Path) -> Registry:
    found = Registry(tmp_path)
    me = identity.current().to_json()
    found.write(
        Record(
            id="1", name="s", engine="vllm", model="m", state="ready", created=1.0, host="h", reuse_key="k",
            spec={"enable_sleep_mode": True}, supervisor=me, process=me, keep="detached",
            url=f"http://127.0.0.1:{engine.server_port}",
        )
    )  # fmt: skip
    found.write_key("s", "key")
    return found


def test_sleep_and_wake_are_asked_for_once_and_stand_in_the_record(engine: Any, registry: Registry) -> None:
    assert sleep("s", registry).asleep
    assert sleep("s", registry).asleep
    assert not wake("s", registry).asleep
    assert engine.asked == [("/sleep", "Bearer key"), ("/wake_up", "Bearer key")]


def test_no_proxy_gets_the_key(engine: Any, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert sleep("s", registry).asleep
    assert len(engine.asked) == 1


def test_an_answer_that_is_none_is_told_in_words(engine: Any, registry: Registry) -> None:
    engine.broken = b"nonsense\r\n\r\n"
    with pytest.raises(TargetError, match="did not sleep"):
        sleep("s", registry)
    assert not registry.read("s").asleep  # type: ignore[union-attr]


def test_a_server_that_answers_somebody_is_not_put_to_sleep(engine: Any, registry: Registry) -> None:
    engine.page = b"vllm:num_requests_running 2\n"
    with pytest.raises(TargetError, match="answering 2 requests"):
        sleep("s", registry)
    assert engine.asked == []


def test_its_supervisor_makes_a_damaged_record_whole_with_the_sleep_in_it(registry: Registry) -> None:
    record = registry.read("s")
    assert record is not None
    published = Published(registry, record)
    sleep("s", registry)
    assert published.refresh()
    (registry.directory / "s.json").write_text("{")
    published.change(stage="x")
    published.flush(force=True)
    assert registry.read("s").asleep  # type: ignore[union-attr]
