"""What a person does in VS Code, by the names that a screen reader has for it; and what is waited for."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from playwright.sync_api import Error
from workbench import PATIENCE, Code


def open_view(page: Any, code: Code) -> None:
    """Opens our view in the activity bar."""
    page.goto(code.url)
    page.locator('.activitybar [aria-label^="LLM Engines"]').first.click()
    page.locator('.pane-header[aria-label^="Engines"]').wait_for()


def row(page: Any, label: str | re.Pattern[str]) -> Any:
    """A row of a tree, by what a screen reader says of it."""
    rows = page.locator(".sidebar .monaco-list-row")
    if isinstance(label, str):
        return rows.and_(page.locator(f'[aria-label^="{label}"]'))
    return rows.and_(page.get_by_role("treeitem", name=label))


def command(page: Any, title: str) -> None:
    """Runs a command by its title."""
    page.keyboard.press("F1")
    page.locator(".quick-input-box input").first.fill(f">{title}")
    page.locator(f'.quick-input-list .monaco-list-row[aria-label^="{title}"]').first.click()


def open_file(page: Any, name: str) -> None:
    """Opens a file of the workspace, as a person who knows its name would."""
    page.keyboard.press("F1")
    page.locator(".quick-input-box input").first.fill(name)
    page.locator(f'.quick-input-list .monaco-list-row[aria-label^="{name}"]').first.click()
    page.locator(f'.tab.active[aria-label^="{name}"]').wait_for()


def in_terminal(page: Any, line: str) -> None:
    """Types a line into a new terminal."""
    command(page, "Terminal: Create New Terminal")
    page.locator(".terminal-wrapper.active .xterm").wait_for()
    page.locator(".terminal-wrapper.active .xterm-rows", has_text=re.compile(r"[$#]")).wait_for()
    page.locator(".terminal-wrapper.active .xterm-helper-textarea").focus()
    page.keyboard.insert_text(line)
    page.keyboard.press("Enter")


def terminal(page: Any) -> str:
    """What stands in the terminal in front; its lines are broken where they are too long."""
    page.locator(".terminal-wrapper.active .xterm-rows").wait_for()
    text: str = page.locator(".terminal-wrapper.active .xterm-rows").inner_text()
    return text.replace("\u00a0", " ").replace("\n", "")


def choose(page: Any, label: str | re.Pattern[str], action: str) -> None:
    """An action in a row, which is shown under the pointer: rows that come meanwhile push it away from there."""

    def taken() -> bool:
        with suppress(Error):
            row(page, label).first.hover(timeout=5000)
            row(page, label).first.locator(f'.action-label[aria-label^="{action}"]').click(timeout=5000)
            return True
        return False

    until(taken, page)


def unfold(page: Any, label: str | re.Pattern[str]) -> None:
    """Opens a row that is folded."""
    if row(page, label).first.get_attribute("aria-expanded") == "false":
        row(page, label).first.locator(".monaco-tl-twistie").click()


def from_menu(page: Any, label: str | re.Pattern[str], action: str) -> None:
    """An action of a row's context menu, which does not take a click that comes as it opens."""
    row(page, label).first.click(button="right")
    item = page.get_by_role("menuitem", name=action)
    item.click()

    def taken() -> bool:
        with suppress(Error):  # it closes meanwhile
            if item.is_visible():
                item.click(timeout=1000)
        return not item.is_visible()

    until(taken, page)


def until(true: Callable[[], bool], page: Any, patience: int = PATIENCE) -> None:
    """Waits, so many ms, for something that no selector tells; code-server saves files by itself."""
    deadline = time.monotonic() + patience / 1000
    while not true():
        assert time.monotonic() < deadline, page.locator("body").inner_text()
        page.wait_for_timeout(200)


def saved(path: Path) -> list[Any]:
    """The cells of a notebook's file; none while it is being written."""
    try:
        return list(json.loads(path.read_text())["cells"])
    except json.JSONDecodeError:
        return []


def sources(path: Path) -> list[str]:
    """What stands in the cells of a notebook's file."""
    return ["".join(cell["source"]) for cell in saved(path)]


def wait_for_log(page: Any, text: str) -> None:
    """Until the output channel shows a text; its lines are drawn with spaces that do not break."""
    lines = page.locator(".part.panel .view-lines")
    until(lambda: any(text in each.replace("\u00a0", " ") for each in lines.all_inner_texts()), page)
