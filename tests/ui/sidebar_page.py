"""The sidebar on a page, as the tests of it handle it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Error
from served import PATIENCE, Lab

from llm_magics.runtime import identity
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
TAB = '[data-id="llm-magics"]'
FIRST_LINES = """[...document.querySelectorAll('.jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell .cm-content')]
    .map(each => each.innerText.trim().split('\\n')[0])"""


def row(page: Any, name: str, state: str | None = None) -> Any:
    """An engine's row, in a state if one is given."""
    return page.locator(f'.llm-Row[data-name="{name}"]' + (f'[data-state="{state}"]' if state else ""))


def show(page: Any, lab: Lab, where: str = "/lab") -> None:
    """Load Lab, nothing restored, and unfold the panel."""
    page.goto(f"{lab.url}{where}?token={lab.token}&reset")
    page.wait_for_selector(TAB)
    page.wait_for_selector("#jupyterlab-splash", state="detached")  # Lab is done with the focus, too
    if page.locator("#llm-magics:visible").count() == 0:
        page.click(TAB)
    page.wait_for_selector("#llm-magics .llm-Section")


def notebook(page: Any, lab: Lab, name: str, cells: list[str]) -> None:
    """The panel beside a notebook whose kernel is there."""
    lab.write(name, [nbformat.v4.new_code_cell(source) for source in cells])
    show(page, lab, f"/lab/tree/{name}")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()


def cells_are(page: Any, *begin: str) -> None:
    """Wait until the cells of the notebook in front begin with these lines, and no cell is missing or too many."""
    with suppress(Error):
        page.wait_for_function(f"begin => JSON.stringify({FIRST_LINES}) === JSON.stringify(begin)", arg=begin)
    assert page.evaluate(FIRST_LINES) == list(begin)


def drag(page: Any, name: str, number: int) -> None:
    """Drag an engine's row onto a cell: it drops above that. All text is selected: a browser would rather drag that."""
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#llm-magics'))")
    begin = row(page, name).locator(".llm-Row-name").bounding_box()
    end = page.locator(".jp-Notebook .jp-Cell").nth(number).bounding_box()
    page.mouse.move(begin["x"] + 5, begin["y"] + 5)
    page.mouse.down()
    page.mouse.move(end["x"] + 200, end["y"] + end["height"] / 2, steps=12)
    page.mouse.up()


def focused(page: Any) -> str:
    """What stands on the screen in what has the focus."""
    text: str = page.evaluate("document.activeElement.innerText")
    return text


def command(page: Any, label: str) -> None:
    """Run a command from the palette."""
    page.keyboard.press("Control+Shift+C")
    page.locator(".lm-CommandPalette-input").fill(label)
    page.locator(".lm-CommandPalette-item", has_text=label).click()


def run_cell(page: Any, number: int) -> None:
    """Run one cell of the notebook."""
    page.locator(".jp-Notebook .jp-CodeCell .cm-content").nth(number).click()
    page.keyboard.press("Shift+Enter")


def wait_until(true: Callable[[], bool], seconds: float = PATIENCE / 1000) -> None:
    """Wait for what no page shows."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def copied(page: Any, meant: Callable[[str], bool]) -> str:
    """What the clipboard holds once it is what is meant. (Playwright's own waiting takes a promise for true.)"""
    deadline = time.monotonic() + PATIENCE / 1000
    while not meant(text := page.evaluate("navigator.clipboard.readText()")):
        assert time.monotonic() < deadline, text
        page.wait_for_timeout(100)
    return str(text)


def made(registry: Registry, name: str = "made", **changes: Any) -> Record:
    """A record as an engine's; this process stands for its supervisor."""
    values = {
        "id": name, "name": name, "engine": "vllm", "engine_version": "0.32.0", "model": "Qwen/Qwen2.5-7B-Instruct",
        "state": "ready", "created": time.time() - 300, "ready_at": time.time() - 240, "host": "h", "reuse_key": "k",
        "spec": {}, "supervisor": identity.current().to_json(), "keep": "detached", "command": "vllm serve Qwen",
        "owners": [{"notebook": "/home/me/serving.ipynb"}],
    }  # fmt: skip
    record = Record(**{**values, **changes})
    registry.write(record)
    return record


def serious(page: Any) -> list[str]:
    """What axe finds on our part of the page that is serious or critical."""
    page.evaluate(AXE.read_text())
    found = page.evaluate(
        """async () => (await axe.run({include: [['#llm-magics'], ['.llm-LogWidget']].filter(
             ([selector]) => document.querySelector(selector))})).violations"""
    )
    return [
        f"{each['id']}: {each['nodes'][0]['html'][:200]} {each['nodes'][0]['failureSummary']}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
