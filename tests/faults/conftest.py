"""Starting scripted servers, and proof that nothing of them is left."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_magics.engines.base import Command
from llm_magics.runtime import processes
from llm_magics.runtime.identity import Identity
from llm_magics.runtime.launch import launch
from llm_magics.runtime.outcomes import Outcome, Started
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.runtime.starting import LaunchRequest
from llm_magics.spec import ServerSpec

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import scripted_engine  # noqa: E402
from waiting import until  # noqa: E402


class Servers:
    """Launches scripted servers and remembers every id that was ever used, so that leftovers can be found."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.ids: set[str] = set()

    def spec(self, name: str = "s", args: tuple[str, ...] = (), **options: Any) -> ServerSpec:
        return ServerSpec(
            **{"name": name, "engine": "scripted", "model": "m", "args": list(args), "timeout": 30.0, **options}
        )

    def launch(
        self,
        *args: str,
        name: str = "s",
        build: Callable[[int], Command] | None = None,
        launching: dict[str, Any] | None = None,
        request: dict[str, Any] | None = None,
        **options: Any,
    ) -> Outcome:
        scripted = {"engine": scripted_engine.engine, "reference": scripted_engine.REFERENCE}
        asked = LaunchRequest(spec=self.spec(name, args, **options), version="1", **{**scripted, **(request or {})})
        try:
            return launch(
                asked,
                build or (lambda port: scripted_engine.command(port, *args)),
                registry=self.registry,
                **(launching or {}),
            )
        finally:
            if (record := self.registry.read(name)) is not None:
                self.ids.add(record.id)

    def start(self, *args: str, **options: Any) -> Record:
        outcome = self.launch(*args, **options)
        assert isinstance(outcome, Started), outcome
        return outcome.record

    def left(self) -> list[Identity]:
        """Every process of every server of this test."""
        return [process for each in self.ids for process in processes.marked(each)]


@pytest.fixture
def servers(isolated: Path) -> Iterator[Servers]:
    found = Servers(Registry())
    yield found
    left = found.left()
    try:
        until(lambda: not found.left(), 20.0)
    except AssertionError:
        processes.end(found.left)
        raise AssertionError(f"the test left processes running: {left}") from None
    leftovers = [path.name for path in found.registry.directory.iterdir() if path.suffix in (".tmp", ".key")]
    assert not leftovers


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Runs Python code in a process of its own that can import the project and the scripted engine."""
    running = []
    src = HERE.parents[1] / "src"

    def run(code: str, *args: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(src), str(HERE)])}
        process = subprocess.Popen(
            [sys.executable, "-c", code, *args],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
