"""What must be read beside a figure is said, and said once."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from made import bench, compared

import llm_magics
from llm_magics.results.run import Run
from llm_magics.results.showing import Shown
from llm_magics.views.words import words

FLAG = "other processes used 1.6 of the 2 cores"


def flagged() -> Run:
    run = bench(requests=30)
    run.flags.append(FLAG)
    return run


@pytest.mark.parametrize("result", [flagged(), compared()], ids=["run", "comparison"])
@pytest.mark.parametrize("kind", ["text/html", "text/plain"])
def test_words_that_were_told_are_left_out_and_nothing_else_is(result: Shown, kind: str) -> None:
    told = words(result)  # type: ignore[arg-type]
    assert told is not None
    said = told.flags[0] if told.flags else told.text.splitlines()[0]
    assert said in told._repr_mimebundle_()[kind]
    whole = result._repr_mimebundle_()[kind]
    result.words_told = True
    rest = result._repr_mimebundle_()[kind]
    result.words_told = False
    assert rest.count(said) == whole.count(said) - 1  # a comparison's picture has its verdict as its alternative text
    assert "TTFT" in rest
    assert result._repr_mimebundle_()[kind] == whole


def test_a_magic_says_a_flag_once_and_the_result_says_it_again_in_a_cell_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, shown = flagged(), []
    monkeypatch.setattr(importlib.import_module("llm_magics.api"), "bench", lambda *_, **__: run)
    monkeypatch.setattr(importlib.import_module("IPython.display"), "display", shown.append)
    shell = InteractiveShell()
    llm_magics.load_ipython_extension(shell)
    result: Any = shell.run_line_magic("bench", "tiny --out r")
    (first,) = shown
    for kind in ("text/html", "text/plain"):
        assert FLAG in first._repr_mimebundle_()[kind]
        assert FLAG not in result._repr_mimebundle_()[kind]
    shell.events.trigger("post_run_cell", None)
    for kind in ("text/html", "text/plain"):
        assert shell.user_ns["r"]._repr_mimebundle_()[kind].count(FLAG) == 1
    llm_magics.unload_ipython_extension(shell)
