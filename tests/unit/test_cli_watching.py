"""`list --watch` and `logs -f` in a terminal: changes are said as they come, and nobody is left behind unread."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from llm_magics import __version__
from llm_magics.runtime import identity
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry

Started = Callable[..., "subprocess.Popen[str]"]

# The command as where who watches the reader is quicker than who started it, which is otherwise a matter of luck.
_WATCHED_FIRST = """
import sys, threading
start = threading.Thread.start
def start_and_wait(thread):
    start(thread)
    if thread.name == "llm-magics reader":
        thread.join()
threading.Thread.start = start_and_wait
from llm_magics import cli
sys.exit(cli.main())
"""


@pytest.fixture
def started() -> Iterator[Started]:
    """Starts `llm-magics …` with its stdout in a pipe; ended when the test is over."""
    processes = []

    def start(
        *words: str,
        ignoring: bool = False,
        program: tuple[str, ...] = ("-m", "llm_magics.cli"),
        stdout: int = subprocess.PIPE,
    ) -> subprocess.Popen[str]:
        """`ignoring` Ctrl-C, or not, whatever started the tests themselves."""
        command = [sys.executable, *program, *words]
        before = signal.signal(signal.SIGINT, signal.SIG_IGN if ignoring else signal.default_int_handler)
        processes.append(subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True))
        signal.signal(signal.SIGINT, before)
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def running() -> Iterator[Callable[..., None]]:
    """Writes a record; its supervisor is this process, so it is believed. None is left, for whoever stops what was."""

    def write(name: str = "qwen", **changes: Any) -> None:
        values = {
            "id": f"id-{name}", "name": name, "engine": "llamacpp", "model": "tiny", "state": "ready",
            "created": 1000.0, "host": "h", "reuse_key": "k", "spec": {}, "url": "http://127.0.0.1:9",
            "supervisor": identity.current().to_json(), "owners": [],
        }  # fmt: skip
        Registry().write(Record(**{**values, **changes}))

    yield write
    for path in Registry().directory.glob("*.json"):
        path.unlink()


def heard(process: subprocess.Popen[str], wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """The next message that is wanted; the test's own time-out ends what never comes."""
    assert process.stdout is not None
    for line in process.stdout:
        message = json.loads(line)
        if wanted(message):
            return message
    raise AssertionError(f"it ended: {process.stderr and process.stderr.read()}")


def states(message: dict[str, Any]) -> dict[str, str]:
    return {engine["name"]: engine["state"] for engine in message.get("engines", [])}


def test_a_message_a_line_the_first_says_who_speaks(started: Started, running: Callable[..., None]) -> None:
    running(state="loading", stage="loading weights")
    process = started("list", "--json", "--watch")
    assert heard(process, lambda _: True) == {"llm_magics": __version__, "speaks": 1}
    engine = heard(process, lambda message: states(message) == {"qwen": "loading"})["engines"][0]
    assert engine["stage"] == "loading weights"
    assert "spec" not in engine
    running(state="ready")
    heard(process, lambda message: states(message) == {"qwen": "ready"})
    heard(process, lambda message: "qwen" in message.get("load", {}))
    (Registry().directory / "qwen.json").unlink()
    heard(process, lambda message: message.get("engines") == [])


@pytest.mark.parametrize("words", [["list", "--json", "--watch"], ["list", "--watch"], ["logs", "-f", "qwen"]])
def test_it_ends_when_its_reader_is_gone(started: Started, running: Callable[..., None], words: list[str]) -> None:
    """Though there is nothing to write, at which it would notice."""
    running()
    Registry().log_path("qwen").write_text("a line\n")
    process = started(*words)
    assert process.stdout is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(30) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""


@pytest.mark.parametrize("ignoring", [True, False])
def test_it_ends_when_its_reader_was_gone_before_it_began(
    started: Started, running: Callable[..., None], ignoring: bool
) -> None:
    """It has nothing to write either, so it would stay for good."""
    running()
    Registry().log_path("qwen").write_text("")
    reader, writer = os.pipe()
    os.close(reader)
    process = started("logs", "-f", "qwen", ignoring=ignoring, program=("-c", _WATCHED_FIRST), stdout=writer)
    os.close(writer)
    assert process.wait(30) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""


def test_in_the_background_of_a_script_only_its_readers_end_ends_it(
    started: Started, running: Callable[..., None]
) -> None:
    running(state="loading")
    process = started("list", "--json", "--watch", ignoring=True)
    heard(process, lambda message: states(message) == {"qwen": "loading"})
    process.send_signal(signal.SIGINT)
    running(state="ready")
    heard(process, lambda message: states(message) == {"qwen": "ready"})  # the interrupt was not for it
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(30) == 0


@pytest.mark.parametrize("words", [["list", "--json", "--watch"], ["list", "--watch"]])
def test_an_interrupt_is_the_usual_end(started: Started, running: Callable[..., None], words: list[str]) -> None:
    """Once it watches: one that comes in the middle of an import ends Python itself by the signal, as quietly."""
    running()
    process = started(*words)
    assert process.stdout is not None
    while "qwen" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0


def test_the_table_comes_again_when_a_state_changes(started: Started, running: Callable[..., None]) -> None:
    running(state="loading")
    process = started("list", "--watch")
    assert process.stdout is not None
    assert "loading" in next(line for line in process.stdout if "qwen" in line)
    running(state="ready")
    assert "ready" in next(line for line in process.stdout if "qwen" in line)


def test_a_registry_that_cannot_be_read_is_told(started: Started, running: Callable[..., None]) -> None:
    running()
    process = started("list", "--json", "--watch")
    heard(process, lambda message: "engines" in message)
    directory = Registry().directory
    away = directory.with_name("away")
    directory.rename(away)
    directory.write_text("a file where the directory was")
    heard(process, lambda message: "cannot be read" in message.get("trouble", ""))
    directory.unlink()
    away.rename(directory)
    heard(process, lambda message: message.get("trouble") == "")
