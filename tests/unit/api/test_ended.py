"""What to type is said of a server that has just ended, and never stored: the run outlives the server's name."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import llm_magics
from llm_magics.api.ended import next_step
from llm_magics.cli import main
from llm_magics.results.run import Run
from llm_magics.runtime import identity
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry

sys.path.insert(0, str(Path(__file__).parents[1] / "results"))

from synthetic import synthetic_run

KILLED = "the engine was ended by SIGKILL"
STEPS = "take a smaller model; start it again: `%serve qwen …`; what it said: `%llm logs qwen`"


def run_of(target: str = "qwen", **header: Any) -> Run:
    return synthetic_run(concurrency=[2], header={"target": target, "watched": True, "server_ended": KILLED, **header})


@pytest.fixture
def registry() -> Registry:
    """One in which `qwen` has failed, for a reason that has a remedy."""
    found = Registry()
    found.write(
        Record(
            "qwen", "vllm", "m", "failed", time.time(), "h", "k", {}, identity.current().to_json(), id="1",
            diagnosis={"cause": "no memory", "line": "OOM", "remedy": "take a smaller model"},
        )
    )  # fmt: skip
    return found


@pytest.mark.usefixtures("registry")
def test_a_server_that_ended_has_its_next_steps_where_the_run_is_fresh_and_not_in_the_run() -> None:
    assert next_step(run_of()) == STEPS
    assert run_of().flags[0] == f"the server ended during the run: {KILLED}"
    assert next_step(run_of(server_ended=None)) == ""
    assert next_step(run_of("http://qwen/v1")) == "", "somebody else's of the same name"


@pytest.mark.parametrize("state", ["ready", None])
def test_one_that_runs_again_or_is_forgotten_has_none(registry: Registry, state: Any) -> None:
    (registry.directory / "qwen.json").unlink()
    if state is not None:
        registry.write(Record("qwen", "e", "m", state, time.time(), "h", "k", {}, identity.current().to_json(), id="2"))
    assert next_step(run_of()) == ""
    (registry.directory / "qwen.json").unlink(missing_ok=True)


@pytest.mark.usefixtures("registry")
def test_the_notebook_and_the_terminal_say_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("llm_magics.api.bench", lambda *_, **__: run_of())
    shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
    llm_magics.load_ipython_extension(shell)
    shell.run_line_magic("bench", "qwen")
    assert f"-> {STEPS}" in capsys.readouterr().out
    llm_magics.unload_ipython_extension(shell)
    assert main(["bench", "qwen"]) == 0
    assert "`llm-magics serve qwen …`; what it said: `llm-magics logs qwen`" in capsys.readouterr().out
