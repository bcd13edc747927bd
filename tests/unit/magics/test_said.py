"""An interrupt is told in a few lines, wherever it comes, and what handles an interrupt handles it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from llm_magics.engines import environments
from llm_magics.runtime import identity, lifetime
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


def written(**changes: Any) -> Record:
    return Record(
        **{
            "id": "1", "name": "trf", "engine": "transformers", "model": "m", "state": "ready", "created": time.time(),
            "host": "h", "reuse_key": "k", "spec": {}, "supervisor": identity.current().to_json(), **changes,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (written(), written(), "it was there before, is ready, and goes on"),
        (None, written(state="loading"), "it is loading, and goes on"),
        (written(state="stopped"), written(id="2", state="loading"), "it is loading, and goes on"),
        (None, written(state="stopping"), "The start of trf was stopped.\n  what there was of it is still ending\n"),
        (written(id="2"), written(stops_why=lifetime.ASKED), "  what there was of it is still ending\n"),
        (written(), written(state="stopping"), "stopped.\n  the one that was there before is still ending\n"),
        (written(), written(state="stopped"), "The start of trf was stopped.\n  nothing of it is left running"),
    ],
)
def test_what_an_interrupted_start_leaves_is_told(
    shell: InteractiveShell,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    before: Record | None,
    after: Record,
    words: str,
) -> None:
    """One server may be there before; a second interrupt comes while what the first one ended is still ending."""
    registry = Registry()
    if before is not None:
        registry.write(before)

    def interrupt(*_: Any, **__: Any) -> None:
        registry.write(after)
        raise KeyboardInterrupt

    monkeypatch.setattr(environments, "locate", interrupt)
    try:
        shell.run_cell("%serve trf --engine transformers")
    finally:
        (registry.directory / "trf.json").unlink()
    assert words in "".join(capsys.readouterr())
