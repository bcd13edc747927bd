"""An interrupt is told in a few lines, wherever it comes, and what handles an interrupt handles it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from llm_magics.engines import environments
from llm_magics.runtime import identity
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(environments, "locate", interrupt)  # an interpreter is asked, which may take seconds
    monkeypatch.setattr("llm_magics.api.benching.target_of", interrupt)


@pytest.mark.usefixtures("interrupted")
@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%serve trf --engine transformers", "The start of trf was stopped.\n  nothing of it is left running"),
        ("%bench trf", "Stopped.\n-> `%llm runs` lists what was measured until then"),
        ("%llm doctor", "Stopped."),
    ],
)
def test_an_interrupt_is_no_traceback(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], cell: str, words: str
) -> None:
    result = shell.run_cell(cell)
    assert type(result.error_in_exec) is KeyboardInterrupt
    said = "".join(capsys.readouterr())
    assert words in said
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) <= 3


@pytest.mark.usefixtures("interrupted")
def test_a_server_that_was_there_before_is_said_to_go_on(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = Registry()
    registry.write(Record("trf", "transformers", "m", "ready", time.time(), "h", "k", {}, identity.current().to_json()))
    try:
        shell.run_cell("%serve trf --engine transformers")
        assert "it was there before, is ready, and goes on" in "".join(capsys.readouterr())
    finally:
        (registry.directory / "trf.json").unlink()
