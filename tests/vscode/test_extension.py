"""The extension in a real VS Code: engines from a terminal to their end, logs, cells, tasks; what it lacks is said."""

from __future__ import annotations

import json
import re
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from workbench import PATIENCE, Code

from llm_magics.engines import environments
from llm_magics.engines import get as engine_of

SERVE = "import llm_magics; llm_magics.serve('{name}', {options}keep='detached')"


def open_view(page: Any, code: Code) -> None:
    page.goto(code.url)
    page.locator('.activitybar [aria-label^="LLM Engines"]').first.click()
    page.locator('.pane-header[aria-label^="Engines"]').wait_for()


def row(page: Any, label: str | re.Pattern[str]) -> Any:
    """A row of a tree, by what a screen reader says of it."""
    rows = page.locator(".sidebar .monaco-list-row")
    if isinstance(label, str):
        return rows.and_(page.locator(f'[aria-label^="{label}"]'))
    return rows.filter(has=page.locator("*")).and_(page.get_by_role("treeitem", name=label))


def command(page: Any, title: str) -> None:
    """Run a command by its title, as a person would."""
    page.keyboard.press("F1")
    page.locator(".quick-input-widget input").first.fill(f">{title}")
    page.locator(f'.quick-input-list .monaco-list-row[aria-label^="{title}"]').first.click()


def in_terminal(page: Any, line: str) -> None:
    command(page, "Terminal: Create New Terminal")
    page.locator(".terminal-wrapper.active .xterm").wait_for()
    page.locator(".terminal-wrapper.active .xterm-rows", has_text=re.compile(r"[$#]")).wait_for()
    page.locator(".terminal-wrapper.active .xterm-helper-textarea").focus()
    page.keyboard.insert_text(line)
    page.keyboard.press("Enter")


def choose(page: Any, name: str, action: str) -> None:
    """An action in a row, which is shown under the pointer."""
    row(page, name).first.hover()
    row(page, name).first.locator(f'.action-label[aria-label^="{action}"]').click()


def until(true: Callable[[], bool], page: Any) -> None:
    """Waits for something that no selector tells; code-server saves files by itself."""
    deadline = time.monotonic() + PATIENCE / 1000
    while not true():
        assert time.monotonic() < deadline, page.locator(".part.panel").inner_text()
        page.wait_for_timeout(200)


def wait_for_log(page: Any, text: str) -> None:
    """Until the output channel shows a text; its lines are drawn with spaces that do not break."""
    lines = page.locator(".part.panel .view-lines")
    until(lambda: any(text in each.replace("\u00a0", " ") for each in lines.all_inner_texts()), page)


def ask(code: Code, name: str, tokens: int) -> None:
    """Have an engine write some."""
    record = next(each for each in json.loads(code.llm_magics("list", "--json")) if each["name"] == name)
    key = Path(code.environment["JUPYTER_RUNTIME_DIR"]) / "llm-magics" / f"{name}.key"
    body = {"model": record["served_model"], "prompt": "Once", "max_tokens": tokens, "ignore_eos": True}
    headers = {"Content-Type": "application/json"}
    if key.is_file():
        headers["Authorization"] = f"Bearer {key.read_text().strip()}"
    request = urllib.request.Request(f"{record['url']}/v1/completions", json.dumps(body).encode(), headers)
    urllib.request.urlopen(request, timeout=120).close()


def test_an_engine_from_a_terminal_to_its_end(code: Code, page: Any, picture: Any) -> None:
    open_view(page, code)
    page.get_by_text("No engine is running.").wait_for()
    in_terminal(page, f'{sys.executable} -c "{SERVE.format(name="tiny", options="")}"')
    row(page, "tiny, ready").wait_for()
    ask(code, "tiny", 200)
    row(page, re.compile(r"^tiny, ready, tiny.*, CPU · .*, [\d,.]+ tok.s")).wait_for()

    choose(page, "tiny", "Show the Log")
    wait_for_log(page, "srv")
    before = code.llm_magics("logs", "tiny", "-n", "1").strip()
    ask(code, "tiny", 5)
    after = code.llm_magics("logs", "tiny", "-n", "1").strip()
    assert after != before
    wait_for_log(page, after[-30:])

    # A second engine, another program where that is installed here.
    other = environments.locate(engine_of("transformers")) is not None
    options = "engine='transformers', model='tiny', " if other else "max_num_seqs=2, "
    in_terminal(page, f'{sys.executable} -c "{SERVE.format(name="second", options=options)}"')
    row(page, re.compile("^second, (starting|loading)")).wait_for()
    row(page, "second, ready").wait_for()
    row(page, "tiny, ready").click()
    choose(page, "tiny", "Show the Log")
    with ThreadPoolExecutor() as asking:
        asked = [asking.submit(ask, code, "tiny", 1500) for _ in range(3)]
        row(page, re.compile(r"^tiny, ready, .* [1-9][\d,.]* tok.s")).wait_for()
        picture(page, "vscode")
        for each in asked:
            each.result()

    choose(page, "second", "Stop")
    page.get_by_role("dialog").get_by_text("Stop second?").wait_for()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    row(page, "second, ready").wait_for()
    choose(page, "second", "Stop")
    page.get_by_role("dialog").get_by_role("button", name="Stop", exact=True).click()
    row(page, "second").wait_for(state="detached")
    assert [each["name"] for each in json.loads(code.llm_magics("list", "--json"))] == ["tiny"]

    choose(page, "tiny", "Stop")
    page.get_by_role("dialog").get_by_role("button", name="Stop", exact=True).click()
    page.get_by_text("No engine is running.").wait_for()
    page.locator(".part.panel .action-item", has_text="Output").first.click()
    wait_for_log(page, "[tiny has stopped.]")


def test_a_task_opens_as_a_copy_and_a_cell_goes_into_it(code: Code, page: Any, picture: Any) -> None:
    open_view(page, code)
    weeks = json.loads(code.llm_magics("learn", "--json"))
    task = next(each for week in weeks for each in week["tasks"] if each["notebook"] and not each["done"])
    row(page, f"{task['title']}, to do").click()
    page.locator(".notebook-editor, .notebookOverlay").first.wait_for()
    copy = code.workspace / task["notebook"]
    assert json.loads(copy.read_text())["cells"]
    page.locator(f'.tab[aria-label^="{task["notebook"]}"]').wait_for()
    page.locator(".notebook-editor .view-line, .notebookOverlay .view-line").first.wait_for()
    page.wait_for_timeout(3000)  # for the picture only: its texts are drawn in a frame of their own
    picture(page, "vscode-learn")
    page.get_by_text("Insert a Cell That Serves a Model").first.click()
    wanted = "%load_ext llm_magics\n%serve tiny"
    until(lambda: wanted in ["".join(cell["source"]) for cell in json.loads(copy.read_text())["cells"]], page)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """An interpreter without the package."""
    import subprocess

    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    return tmp_path / "bare" / "bin" / "python"


def test_what_is_missing_is_said_once_and_found_when_it_is_there(
    code: Code, page: Any, picture: Any, bare: Path
) -> None:
    open_view(page, code)
    page.get_by_text("No engine is running.").wait_for()
    code.set(llmMagics_python=str(bare))
    page.get_by_text("llm-magics is not installed in the interpreter").wait_for()
    page.get_by_text("pip install llm-magics").wait_for()
    page.locator(".pane-header", has_text=str(bare)).wait_for()
    picture(page, "vscode-missing")
    code.set(llmMagics_python="/nowhere/python")
    page.get_by_role("button", name="Choose an Interpreter").wait_for()
    page.locator(".pane-header", has_text="/nowhere/python").wait_for()
    code.set(llmMagics_python=sys.executable)
    page.get_by_text("No engine is running.").wait_for()
    assert page.locator(".notification-toast").count() == 0
