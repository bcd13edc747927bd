"""No route starts a process or asks another machine, but a DELETE that removes the container of an engine that is lost.

The server runs in a process of its own, under an audit hook: nothing is replaced, and whatever it starts is seen.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import websocket
from listening import Quiet, listening

sys.path.append(str(Path(__file__).parents[1] / "unit" / "results"))

from synthetic import synthetic_run

from llm_magics import learn
from llm_magics.lab.extension import ROUTES
from llm_magics.results.store import RunStore
from llm_magics.runtime import identity
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry

SERVER = Path(__file__).with_name("audited_server.py")
PATIENCE = 90.0  # s; machines that run tests are busy
LOST = ("gone", "left")
NVML = """
class NVMLError(Exception): pass
def nvmlInit(): pass
def nvmlShutdown(): pass
def nvmlDeviceGetCount(): return 0
"""


@dataclass
class Audited:
    """The server, and what it was seen to do."""

    url: str
    told: Path
    docker: Path

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of a route."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": "token the-token"}
        request = urllib.request.Request(f"{self.url}llm-magics/{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def events(self) -> list[tuple[str, list[str]]]:
        """What happened since the last time."""
        found = [json.loads(line) for line in self.told.read_text().splitlines()]
        self.told.write_bytes(b"")
        return [(event, args) for event, args in found]


@pytest.fixture
def metrics() -> Iterator[int]:
    """The port of an engine that answers with a page of metrics."""

    class Page(Quiet, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.say('vllm:num_requests_running{model_name="m"} 3.0\n')

    with listening(Page) as server:
        yield server.server_port


def record(name: str, **changes: Any) -> Record:
    values = {
        "id": f"{name}0123456789", "name": name, "engine": "vllm", "model": "m", "state": "ready", "created": 1000.0,
        "ready_at": 1010.0, "host": os.uname().nodename, "reuse_key": "k", "spec": {}, "keep": "detached",
        "supervisor": identity.current().to_json(), **changes,
    }  # fmt: skip
    return Record(**values)


@pytest.fixture
def audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Audited]:
    """A server of this extension alone; its docker only notes what it is told, its GPU library finds no GPU."""
    for kind in ("config", "data", "runtime"):
        monkeypatch.setenv(f"JUPYTER_{kind.upper()}_DIR", str(tmp_path / kind))
        (tmp_path / kind).mkdir(mode=0o700)
    monkeypatch.setenv("LLM_MAGICS_PICTURES", "png")
    (tmp_path / "root").mkdir()
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "pynvml.py").write_text(NVML)
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path / "docker"}\n')
    docker.chmod(0o755)
    environment = {
        **os.environ, "JUPYTER_NO_CONFIG": "1", "PATH": f"{docker.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "modules"), os.environ.get("PYTHONPATH", "")]),
    }  # fmt: skip
    command = [
        sys.executable, SERVER, tmp_path / "told", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
        "--IdentityProvider.token=the-token", f"--ServerApp.root_dir={tmp_path / 'root'}",
        '--ServerApp.jpserver_extensions={"llm_magics.lab": True}', "--ServerApp.port=0",
    ]  # fmt: skip
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL) as process,
    ):
        try:
            yield Audited(_url(process, tmp_path), tmp_path / "told", tmp_path / "docker")
        finally:
            process.kill()


def _url(process: subprocess.Popen[bytes], home: Path) -> str:
    """Where it listens, once it does: it writes that down when it has bound its port."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        for path in (home / "runtime").glob("jpserver-*.json"):
            try:
                found = json.loads(path.read_text())
            except ValueError:  # not yet whole
                continue
            return str(found["url"])
        time.sleep(0.1)
    raise AssertionError((home / "log").read_text()[-2000:])


def hear(url: str) -> dict[str, Any]:
    """The last message of each kind that the socket says, once all have come and the engine's metrics with them."""
    heard: dict[str, Any] = {"load": {}}
    where = f"{url.replace('http', 'ws', 1)}llm-magics/watch"
    socket = websocket.create_connection(where, header=["Authorization: token the-token"], timeout=PATIENCE)
    deadline = time.monotonic() + PATIENCE
    try:
        while not {"engines", "gpus", "work"} <= heard.keys() or "running" not in heard["load"].get("qwen", {}):
            assert time.monotonic() < deadline, heard
            heard |= json.loads(socket.recv())
    finally:
        socket.close()
    return heard


def test_only_a_delete_starts_anything(audited: Audited, metrics: int) -> None:
    registry = Registry()
    dead = {**identity.current().to_json(), "ticks": 1}
    for name in LOST:
        box = {"tool": "docker", "name": f"llm-magics-{name}-1"}
        registry.write(record(name, supervisor=dead, container=box))
    registry.write(record("qwen", url=f"http://127.0.0.1:{metrics}"))
    run = synthetic_run()
    RunStore().save(run)
    task = next(task["id"] for week in learn.overview() for task in week["tasks"] if task["manual"])
    calls = [
        ("GET", "engines"), *(("GET", f"engines/{name}{part}") for name in ("qwen", "gone")
                              for part in ("", "/logs", "/report")),
        ("PATCH", "engines/qwen", {"keep_for": 60}), ("PATCH", "engines/gone", {"keep_for": 60}),
        ("GET", "gpus"), ("GET", "adapters"), ("GET", "runs"), ("GET", f"runs/{run.id}"), ("GET", "tasks"),
        ("PUT", f"tasks/{task}", {"done": True}), ("POST", f"tasks/{task}/notebook", {"folder": ""}),
    ]  # fmt: skip
    get = {path for method, path, *_ in calls if method == "GET"}
    for pattern, handler in ROUTES:
        assert "get" not in vars(handler) or pattern == "watch" or any(re.fullmatch(pattern, path) for path in get)

    audited.events()  # of its own start
    for call in calls:
        status, answer = audited.ask(*call)
        assert status == (409 if call[:2] == ("PATCH", "engines/gone") else 200), (call, answer)
        assert audited.events() == [], call

    heard = hear(audited.url)
    assert {each["name"]: each["state"] for each in heard["engines"]} == {
        "qwen": "ready",
        "gone": "lost",
        "left": "lost",
    }
    causes = {each["diagnosis"]["cause"] for each in heard["engines"] if each["state"] == "lost"}
    assert causes == {"its supervisor was killed; its container may still run"}
    assert heard["load"]["qwen"]["running"] == 3.0
    asked = {(event, args[1]) for event, args in audited.events()}
    assert asked == {("socket.connect", f"('127.0.0.1', {metrics})")}  # the engine, for its metrics
    assert not audited.docker.exists()

    assert audited.ask("DELETE", "engines/gone")[0] == 200
    assert audited.ask("DELETE", "engines/left/record")[0] == 204
    removed = set(audited.docker.read_text().splitlines())
    assert removed == {f"rm --force --volumes llm-magics-{name}-1" for name in LOST}
    assert {event for event, _ in audited.events()} <= {"subprocess.Popen", "os.posix_spawn"}
    assert registry.read("left") is None
