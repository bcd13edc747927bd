"""What goes wrong between the extension and the command is said once, quietly, in the view, and it is tried again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from gestures import open_view, row, terminal, until
from workbench import Code

REAL = "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"  # whoever asks, asks the real package


@dataclass
class Acting:
    """An interpreter that does what a test says, and notes for which words it was started with which process."""

    path: Path

    def plays(self, part: str) -> None:
        """From its next start on: Python with `words`, what follows `-m llm_magics.cli`."""
        head = f"#!{sys.executable}\nimport os, sys, time\nwords = ' '.join(sys.argv[3:])\n"
        note = f"with open({str(self.path) + '.calls'!r}, 'a') as calls:\n    print(os.getpid(), words, file=calls)\n"
        new = self.path.with_suffix(".new")
        new.write_text(head + note + part)
        new.chmod(0o755)
        new.replace(self.path)

    def watchers(self) -> list[int]:
        """The processes that were started to watch, the first first."""
        calls = Path(f"{self.path}.calls").read_text().splitlines()
        return [int(line.split()[0]) for line in calls if line.endswith("list --json --watch")]


@pytest.fixture
def acting(tmp_path: Path, code: Code) -> Iterator[Acting]:
    """One that is the setting's; afterwards it is this Python again."""
    made = Acting(tmp_path / "python")
    made.plays(REAL)
    Path(f"{made.path}.calls").touch()
    code.set(llmMagics_python=str(made.path))
    yield made
    code.set(llmMagics_python=sys.executable)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """An interpreter without the package."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    return tmp_path / "bare" / "bin" / "python"


def said_once(page: Any, words: str | re.Pattern[str]) -> None:
    """Waits until it is said, and makes sure that it is said in one place, and pops up nowhere."""
    page.locator(".sidebar").get_by_text(words).wait_for()
    assert page.locator(".sidebar").get_by_text(words).count() == 1
    assert page.locator(".notification-toast, .monaco-dialog-box").count() == 0


def test_what_is_missing_is_said_once_and_found_when_it_is_there(
    code: Code, page: Any, picture: Any, bare: Path
) -> None:
    open_view(page, code)
    page.get_by_text("No engine is running.").wait_for()
    code.set(llmMagics_python=str(bare))
    said_once(page, re.compile("llm-magics is not installed in the interpreter"))
    page.get_by_text("pip install llm-magics").wait_for()
    page.locator(".pane-header", has_text=str(bare)).wait_for()
    picture(page, "vscode-missing")
    page.get_by_role("button", name="Type It Into a Terminal").click()  # typed, not run
    until(lambda: "-m pip install --upgrade llm-magics" in terminal(page), page)
    code.set(llmMagics_python="/nowhere/python")
    said_once(page, re.compile("There is no Python interpreter to ask"))
    page.get_by_role("button", name="Choose an Interpreter").wait_for()
    page.locator(".pane-header", has_text="/nowhere/python").wait_for()
    code.set(llmMagics_python=sys.executable)
    page.get_by_text("No engine is running.").wait_for()


def test_an_old_version_is_said_with_the_one_that_is_needed(code: Code, page: Any, acting: Acting) -> None:
    acting.plays(
        "if words == '--version':\n    print('0.0.7')\n    sys.exit()\n"
        "print(\"llm-magics list: unknown option '--watch'.\", file=sys.stderr)\nsys.exit(2)\n"
    )
    open_view(page, code)
    said_once(page, re.compile("too old for this view: 0.1.0 or newer is needed"))
    page.locator(".pane-header", has_text=f"0.0.7 in {acting.path}").wait_for()
    page.get_by_text("pip install --upgrade llm-magics").wait_for()
    acting.plays(REAL)  # it is upgraded
    page.get_by_text("No engine is running.").wait_for()


@pytest.mark.parametrize(
    "greeting",
    ["", """print('{"llm_magics": "0.1.0", "speaks": 1}', flush=True)\n"""],
    ids=["at once", "in the middle"],
)
def test_words_that_are_no_json_are_said(code: Code, page: Any, acting: Acting, greeting: str) -> None:
    acting.plays(f"{greeting}print('Welcome to the cluster!', flush=True)\ntime.sleep(600)\n")
    open_view(page, code)
    said_once(page, "llm-magics wrote what is no JSON: Welcome to the cluster!")
    until(lambda: len(acting.watchers()) >= 3, page)  # it is asked again
    said_once(page, "llm-magics wrote what is no JSON: Welcome to the cluster!")
    assert not alive(acting.watchers()[0])  # who babbles is not left behind
    acting.plays(REAL)
    page.get_by_text("No engine is running.").wait_for()
    page.locator(".sidebar").get_by_text("no JSON").wait_for(state="detached")


def test_a_command_that_dies_in_the_middle_leaves_what_was_known(code: Code, page: Any, acting: Acting) -> None:
    code.llm_magics("serve", "tiny", "--keep", "detached")
    open_view(page, code)
    row(page, "tiny, ready").wait_for()
    acting.plays("if 'watch' in words:\n    print('MemoryError', file=sys.stderr)\n    sys.exit(1)\n" + REAL)
    os.kill(acting.watchers()[-1], signal.SIGKILL)
    said_once(page, "llm-magics ended with status 1. MemoryError")
    before = len(acting.watchers())
    until(lambda: len(acting.watchers()) >= before + 2, page)
    said_once(page, "llm-magics ended with status 1. MemoryError")
    assert row(page, "tiny, ready").count() == 1
    acting.plays(REAL)
    page.locator(".sidebar").get_by_text("MemoryError").wait_for(state="detached")
    code.llm_magics("stop", "tiny")
    page.get_by_text("No engine is running.").wait_for()  # what changes is heard again


def alive(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
