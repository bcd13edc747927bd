"""The socket: changes are told while somebody looks, a hung or unreadable directory is told too, and blocks nothing."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Callable, Hashable
from typing import Any

import pytest

from llm_magics.lab.aside import Aside
from llm_magics.lab.watch import WATCHER
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry


async def hear(socket: Any, wanted: Callable[[dict[str, Any]], Any], seconds: float = 30.0) -> dict[str, Any]:
    """The first message that is wanted."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        text = await asyncio.wait_for(socket.read_message(), seconds)
        assert text is not None, "the socket was closed"
        message = json.loads(text)
        if wanted(message):
            return message
    raise AssertionError("it was not told")


def states(message: dict[str, Any]) -> dict[str, str]:
    return {engine["name"]: engine["state"] for engine in message.get("engines", [])}


async def test_changes_are_told(jp_ws_fetch: Any, running: Callable[..., Record], registry: Registry) -> None:
    running(state="loading", stage="loading weights 1/2")
    socket = await jp_ws_fetch("llm-magics", "watch")
    await hear(socket, lambda message: states(message) == {"qwen": "loading"})
    running(state="ready")
    await hear(socket, lambda message: states(message) == {"qwen": "ready"})
    (registry.directory / "qwen.json").unlink()
    await hear(socket, lambda message: message.get("engines") == [])
    socket.close()


async def test_an_engine_whose_supervisor_was_killed_is_told(jp_ws_fetch: Any, running: Callable[..., Record]) -> None:
    """Nothing is written then: who looks has to see it."""
    import subprocess
    import sys

    from llm_magics.runtime import identity

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        running(supervisor=identity.of(process.pid).to_json())  # type: ignore[union-attr]
        socket = await jp_ws_fetch("llm-magics", "watch")
        await hear(socket, lambda message: states(message) == {"qwen": "ready"})
        process.kill()
    await hear(socket, lambda message: states(message) == {"qwen": "lost"})
    socket.close()


async def test_a_second_tab_is_told_what_the_first_knows(jp_ws_fetch: Any, running: Callable[..., Record]) -> None:
    running()
    first = await jp_ws_fetch("llm-magics", "watch")
    await hear(first, lambda message: "engines" in message)
    second = await jp_ws_fetch("llm-magics", "watch")
    await hear(second, lambda message: states(message) == {"qwen": "ready"})
    first.close()
    running(state="stopping")
    await hear(second, lambda message: states(message) == {"qwen": "stopping"})
    second.close()


async def test_nobody_looks_and_nothing_is_done(
    jp_ws_fetch: Any, jp_web_app: Any, running: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    running()
    looks = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: looks.append(path) or scandir(path))
    await asyncio.sleep(0.5)
    assert looks == []
    socket = await jp_ws_fetch("llm-magics", "watch")
    await hear(socket, lambda message: "engines" in message)
    socket.close()
    while jp_web_app.settings[WATCHER]._sockets:
        await asyncio.sleep(0.01)
    for _ in range(10):  # what was under way may end
        looks.clear()
        await asyncio.sleep(1.2)  # three looks at the records, one at everything else
        if not looks:
            break
    assert looks == []


async def test_a_look_that_fails_is_not_the_last(
    jp_ws_fetch: Any, running: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that ended would leave the panel still for as long as the server lives."""
    monkeypatch.setattr("llm_magics.runtime.looking._AGAIN", 0.1)
    looks: list[int] = []

    def exported(*_: object) -> dict[str, Any]:
        looks.append(1)
        if len(looks) == 1:
            raise RuntimeError("nobody thought of this")
        return {"running": 7}

    monkeypatch.setattr("llm_magics.runtime.load_now._exported", exported)
    running()
    socket = await jp_ws_fetch("llm-magics", "watch")
    await hear(socket, lambda message: message.get("load", {}).get("qwen", {}).get("running") == 7)
    socket.close()


async def test_an_engine_that_hangs_when_asked_hides_no_others_load(
    jp_ws_fetch: Any, running: Callable[..., Record], registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe stands in for a key on a network disk that is away."""
    monkeypatch.setattr("llm_magics.runtime.looking._HUNG", 0.3)
    monkeypatch.setattr("llm_magics.runtime.looking._LOADS", (0.1, 0.1))
    running("hung")
    running("well")
    pipe = registry.key_path("hung")
    os.mkfifo(pipe)
    socket = await jp_ws_fetch("llm-magics", "watch")
    for _ in range(2):
        await hear(socket, lambda message: set(message.get("load", {})) == {"well"})
    assert [thread.name for thread in threading.enumerate()].count("llm-magics metrics hung") == 1
    os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))
    pipe.unlink()
    await hear(socket, lambda message: set(message.get("load", {})) == {"hung", "well"})
    socket.close()


async def test_a_directory_that_hangs_is_told_and_blocks_nothing(
    jp_ws_fetch: Any, ask: Any, running: Callable[..., Record], registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe stands in for a file on a network disk that is away: reading it does not come back."""
    monkeypatch.setattr("llm_magics.lab.handler.PATIENCE", 600.0)
    monkeypatch.setattr("llm_magics.runtime.looking._HUNG", 1.0)
    asked: list[Hashable] = []
    aside = Aside.__call__

    async def counted(self: Aside, name: Hashable, *what: Any) -> Any:
        asked.append(name)
        return await aside(self, name, *what)

    monkeypatch.setattr(Aside, "__call__", counted)
    running()
    socket = await jp_ws_fetch("llm-magics", "watch")
    await hear(socket, lambda message: "engines" in message)
    pipe = registry.directory / "hung.json"
    os.mkfifo(pipe)
    try:
        waiting = [asyncio.ensure_future(ask("engines", request_timeout=600)) for _ in range(8)]  # the client has ten
        while asked.count("engines") < len(waiting):
            assert not any(each.done() for each in waiting)
            await asyncio.sleep(0.01)
        assert (await ask("adapters"))[0] == 200
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("llm-magics engines") == 1  # all who ask wait for one thread
        assert not any(each.done() for each in waiting)
        monkeypatch.setattr("llm_magics.lab.handler.PATIENCE", 0.5)
        status, told = await ask("engines")
        assert status == 503
        assert "does not answer" in told["message"]
        await hear(socket, lambda message: "does not answer" in message.get("trouble", ""))
    finally:
        writer = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)  # now it comes back, and finds nothing
        pipe.unlink()
        os.close(writer)
    await hear(socket, lambda message: message.get("trouble") == "")
    assert [status for status, _ in await asyncio.gather(*waiting)] == [200] * len(waiting)
    monkeypatch.setattr("llm_magics.lab.handler.PATIENCE", 60.0)  # a slow machine may take its time
    assert (await ask("engines"))[0] == 200
    socket.close()


async def test_a_directory_that_cannot_be_read_is_told_and_found_again(
    jp_ws_fetch: Any, ask: Any, running: Callable[..., Record], registry: Registry
) -> None:
    running()
    socket = await jp_ws_fetch("llm-magics", "watch")
    await hear(socket, lambda message: "engines" in message)
    away = registry.directory.with_name("away")
    registry.directory.rename(away)
    registry.directory.write_text("a file where the directory was")
    await hear(socket, lambda message: "cannot be read" in message.get("trouble", ""))
    status, told = await ask("engines")
    assert status == 503
    assert told["why"]
    registry.directory.unlink()
    away.rename(registry.directory)
    await hear(socket, lambda message: message.get("trouble") == "")
    assert (await ask("engines"))[0] == 200
    socket.close()
