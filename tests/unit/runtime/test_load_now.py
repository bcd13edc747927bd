"""One look at a running server: its metrics and memory; a key goes to this machine only, and nothing is made up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from listening import Quiet, listening

from llm_magics.runtime import identity, processes
from llm_magics.runtime.load_now import load_now
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine is a thread here, which a busy machine may not run for a second."""
    monkeypatch.setattr("llm_magics.runtime.load_now._PATIENCE", 60.0)


@pytest.fixture
def engine() -> Iterator[HTTPServer]:
    """Answers as llama.cpp does, and remembers what it was sent."""

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.server.asked.append((self.path, self.headers.get("Authorization")))  # type: ignore[attr-defined]
            page = b"llamacpp:requests_processing 2\nllamacpp:requests_deferred 1\nllamacpp:tokens_predicted_total 40\n"
            self.say(page)

    with listening(Handler) as server:
        server.asked = []  # type: ignore[attr-defined]
        yield server


def record(url: str, **changes: Any) -> Record:
    me = identity.current().to_json()
    values = {
        "id": "1", "name": "s", "engine": "llamacpp", "model": "m", "state": "ready", "created": 1.0, "host": "h",
        "reuse_key": "k", "spec": {}, "supervisor": me, "process": me, "url": url, **changes,
    }  # fmt: skip
    return Record(**values)


def test_metrics_and_memory(engine: Any, tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.write_key("s", "key")
    load = load_now(record(f"http://127.0.0.1:{engine.server_port}"), registry)
    assert (load["running"], load["waiting"], load["output_tokens"]) == (2, 1, 40)
    assert "kv_usage" not in load  # absent, not zero
    assert load["memory"] > 1e6
    assert engine.asked == [("/metrics", "Bearer key")]


@pytest.mark.parametrize("changes", [{"state": "loading"}, {"engine": "of-another-environment"}])
def test_what_cannot_be_asked_is_not_asked(engine: Any, tmp_path: Path, changes: dict[str, Any]) -> None:
    load = load_now(record(f"http://127.0.0.1:{engine.server_port}", **changes), Registry(tmp_path))
    assert set(load) == {"at", "memory"}
    assert engine.asked == []


def test_a_record_that_points_elsewhere_gets_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("llm_magics.runtime.load_now.Probe.connect", lambda probe: asked.append(probe) or False)
    here, elsewhere = (
        "http://127.0.0.1:9",
        ["http://192.0.2.1:80", "http://127.0.0.1.example.org:80", "http://[::ffff:1]"],
    )
    for url in (*elsewhere, "file:///etc/passwd", "", "http://127.0.0.1", "http://127.0.0.1:99999"):
        load_now(record(url), Registry(tmp_path))
    assert asked == []
    load_now(record(here), Registry(tmp_path))
    assert len(asked) == 1


def test_an_engine_that_does_not_answer_has_no_load(tmp_path: Path) -> None:
    assert set(load_now(record("http://127.0.0.1:9"), Registry(tmp_path))) == {"at", "memory"}


def test_resident_memory_is_of_living_processes() -> None:
    me = identity.current()
    assert processes.resident([me]) > 1e6
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        other = identity.of(child.pid)
        assert other is not None
        assert processes.resident([me, other]) > processes.resident([other]) > 0
        child.kill()
    assert processes.resident([other]) == 0
    assert me.pid == os.getpid()
