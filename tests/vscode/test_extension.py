"""The extension in a real VS Code: engines from a terminal to their end, their logs, cells, tasks; all by clicks."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
from gestures import choose, from_menu, in_terminal, open_file, open_view, row, sources, unfold, until, wait_for_log
from workbench import Code

from llm_magics.engines import environments
from llm_magics.engines import get as engine_of
from llm_magics.runtime.registry import Registry

SERVE = "import llm_magics; llm_magics.serve('{name}', {options}keep='detached')"


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
    row(page, re.compile(r"^tiny, ready, tiny.*, (CPU|RAM) · .*, [\d,.]+ tok.s")).wait_for()

    choose(page, "tiny", "Show the Log")
    wait_for_log(page, "srv")
    before = code.llm_magics("logs", "tiny", "-n", "1").strip()
    ask(code, "tiny", 5)
    until(lambda: code.llm_magics("logs", "tiny", "-n", "1").strip() != before, page)  # it writes it soon after
    after = code.llm_magics("logs", "tiny", "-n", "1").strip()
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
    page.locator(f'.tab[aria-label^="{task["notebook"]}"]').wait_for()
    page.locator(".notebookOverlay .view-line").first.wait_for()
    copy = code.workspace / task["notebook"]
    before = sources(copy)
    page.wait_for_timeout(3000)  # for the picture only: its texts are drawn in a frame of their own
    picture(page, "vscode-learn")
    page.get_by_text("Insert a Cell That Serves a Model").first.click()
    until(lambda: len(sources(copy)) == len(before) + 1, page)
    loads = next(number for number, source in enumerate(before) if "%load_ext llm_magics" in source)
    assert sources(copy) == [*before[: loads + 1], "%serve tiny", *before[loads + 1 :]]


def test_an_engine_is_copied_benched_kept_and_forgotten_by_clicks(code: Code, page: Any) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=code.url)
    first, last = nbformat.v4.new_code_cell("1"), nbformat.v4.new_markdown_cell("The end")
    mine = code.workspace / "mine.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[first, last]), mine)
    # Its owner leaves at once, so a countdown begins.
    serve = [sys.executable, "-c", "import llm_magics; llm_magics.serve('mine')"]
    subprocess.run(serve, env=code.environment, capture_output=True, check=True)
    registry = Registry(Path(code.environment["JUPYTER_RUNTIME_DIR"]) / "llm-magics")
    record = registry.get("mine")
    assert record is not None
    open_view(page, code)
    row(page, re.compile("^mine, ready, .*stops in [1-9]")).wait_for()

    held = lambda: page.evaluate("navigator.clipboard.readText()")  # noqa: E731
    unfold(page, "mine, ready")
    choose(page, "URL: ", "Copy the Base URL")
    until(lambda: held() == f"{record.url}/v1", page)
    page.evaluate("navigator.clipboard.writeText('')")
    from_menu(page, "mine, ready", "Copy the Base URL")
    until(lambda: held() == f"{record.url}/v1", page)

    open_file(page, "mine.ipynb")
    page.locator(".notebookOverlay .cell-list-container .monaco-list-row").first.click()
    from_menu(page, "mine, ready", "Insert a Cell That Benches It")
    until(lambda: len(sources(mine)) == 4, page)
    loads, bench = sources(mine)[1:3]  # below the chosen cell
    assert loads == "%load_ext llm_magics"
    assert bench.startswith("%%bench mine\n")
    from_menu(page, "mine, ready", "Insert a Cell That Asks It")
    until(lambda: len(sources(mine)) == 5, page)
    asks = sources(mine)[3]
    assert "mine.client.chat.completions.create" in asks
    assert sources(mine) == ["1", loads, bench, asks, "The end"]

    choose(page, "Ending: ", "Keep for Another Hour")
    row(page, re.compile("^mine, ready, .*stops in (59|60) min")).wait_for()
    os.kill(record.process["pid"], signal.SIGKILL)  # type: ignore[index]
    row(page, re.compile("^mine, failed")).wait_for()
    row(page, "Why: ").wait_for()  # it opens by itself
    choose(page, "mine, failed", "Dismiss")
    page.get_by_text("No engine is running.").wait_for()
    assert registry.read("mine") is None


def test_a_task_that_nothing_can_see_is_ticked_by_hand(code: Code, page: Any) -> None:
    def done() -> bool:
        weeks = json.loads(code.llm_magics("learn", "--json"))
        return next(each["done"] for week in weeks for each in week["tasks"] if each["id"] == task["id"])

    weeks = json.loads(code.llm_magics("learn", "--json"))
    week, task = next((week, each) for week in weeks for each in week["tasks"] if each["manual"])
    open_view(page, code)
    row(page, f"{week['title']}, 0 of ").click()
    row(page, f"{task['title']}, to do").scroll_into_view_if_needed()
    row(page, f"{task['title']}, to do").get_by_role("checkbox").click()
    row(page, f"{task['title']}, done").wait_for()
    row(page, f"{week['title']}, 1 of ").wait_for()
    assert done()
    row(page, f"{task['title']}, done").get_by_role("checkbox").click()
    row(page, f"{task['title']}, to do").wait_for()
    row(page, f"{week['title']}, 0 of ").wait_for()
    assert not done()
