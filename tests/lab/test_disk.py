"""A registry on a disk that is full or read-only: it is shown all the same, and who changes it hears why not."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_magics.runtime import identity
from llm_magics.runtime.private_files import unfinished
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry

WHY = {"full": os.strerror(errno.ENOSPC), "read-only": os.strerror(errno.EROFS)}


@pytest.fixture(params=["full", "read-only"])
def disk(request: pytest.FixtureRequest, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Call it, and the registry's disk is so; a disk of its own where this user may mount one."""
    mounted = os.geteuid() == 0 and _mount("-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", str(registry.directory))

    def spoil() -> str:
        if request.param == "read-only" and mounted:
            assert _mount("-o", "remount,ro", str(registry.directory))
        elif mounted:
            _fill(registry.directory / "filler")
        else:
            number = errno.ENOSPC if request.param == "full" else errno.EROFS
            _refuse(monkeypatch, registry, number)
        return WHY[request.param]

    yield spoil
    if mounted:
        subprocess.run(["umount", "-l", str(registry.directory)], check=True)


def _mount(*how: str) -> bool:
    return subprocess.run(["mount", *how], capture_output=True, check=False).returncode == 0


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)


def _refuse(monkeypatch: pytest.MonkeyPatch, registry: Registry, number: int) -> None:
    """What such a disk does, where no disk can be made so."""
    really = os.open

    def refuse(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR) and str(path).startswith(str(registry.directory)):
            raise OSError(number, os.strerror(number))
        return really(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)


async def test_engines_are_listed_and_those_that_died_are_told(
    ask: Any, jp_ws_fetch: Any, disk: Callable[[], str], running: Callable[..., Record], registry: Registry
) -> None:
    running()
    running("gone", supervisor={**identity.current().to_json(), "ticks": 1})
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    unfinished(registry.directory / "gone.json", int(ended.stdout)).touch()  # of a writer that was killed
    registry.log_path("qwen").write_text("INFO ready\n")
    disk()
    status, found = await ask("engines")
    assert (status, [(each["name"], each["state"]) for each in found["engines"]]) == (
        200, [("qwen", "ready"), ("gone", "lost")],
    )  # fmt: skip
    assert (await ask("engines/qwen/logs"))[1]["text"] == "INFO ready\n"
    assert (await ask("engines/qwen/report"))[0] == 200
    socket = await jp_ws_fetch("llm-magics", "watch")
    while '"engines"' not in (text := await socket.read_message()):
        pass
    assert '"lost"' in text
    socket.close()


async def test_what_cannot_be_written_is_refused_with_the_reason(
    ask: Any, disk: Callable[[], str], running: Callable[..., Record], registry: Registry
) -> None:
    running()
    why = disk()
    status, told = await ask("engines/qwen", method="PATCH", body='{"keep_for": 3600}')
    assert (status, told["message"], told["why"]) == (503, "The disk refused.", why)
    assert registry.read("qwen").keep_until is None  # type: ignore[union-attr]


async def test_an_engine_is_stopped_all_the_same_and_that_is_said(
    ask: Any, disk: Callable[[], str], running: Callable[..., Record]
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        running(supervisor=identity.of(process.pid).to_json())  # type: ignore[union-attr]
        why = disk()
        status, told = await ask("engines/qwen", method="DELETE")
        assert process.wait(60) != 0  # before anything else could end it
    assert (status, told["message"]) == (409, "qwen is stopped, but that could not be written down.")
    assert told["why"].startswith(why)
    assert (await ask("engines/qwen"))[1]["state"] == "lost"


async def test_what_has_ended_is_forgotten_where_the_disk_lets_it(
    ask: Any, disk: Callable[[], str], running: Callable[..., Record], registry: Registry
) -> None:
    running("failed", state="failed")
    why = disk()
    status, told = await ask("engines/failed/record", method="DELETE")
    if status == 204:  # removing takes no room, except for the lock
        assert why == WHY["full"]
        assert registry.read("failed") is None
    else:
        assert (status, told["why"]) == (503, why)
