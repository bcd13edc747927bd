"""With several engines: the palette asks which one is meant, and Lab's Running panel stops one or all of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from served import Lab
from sidebar_page import cells_are, command, copied, made, notebook, row, wait_until

from llm_magics.runtime import identity
from llm_magics.runtime.registry import Registry

LOAD, BENCH, CLIENT = "%load_ext llm_magics", "%%bench two", "import llm_magics"


@pytest.fixture
def engines(registry: Registry) -> Iterator[None]:
    """Two that answer and one that loads; a program that waits stands for each one's supervisor, and can be ended."""
    with ExitStack() as ending:
        for number, name in enumerate(("one", "two", "loader")):
            waits = [sys.executable, "-c", "input()"]
            process = ending.enter_context(subprocess.Popen(waits, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL))
            made(registry, name, supervisor=identity.of(process.pid).to_json(),  # type: ignore[union-attr]
                 url=f"http://127.0.0.1:900{number}",
                 **({"state": "loading", "ready_at": None} if name == "loader" else {}))  # fmt: skip
        yield


def choose(page: Any, title: str, name: str | None, among: set[str]) -> None:
    """Answer the question which engine is meant, or take the question back."""
    dialog = page.locator(".jp-Dialog", has_text=title)
    dialog.locator("select").wait_for()
    assert set(dialog.locator("option").all_inner_texts()) == among
    if name is not None:
        dialog.locator("select").select_option(name)
    dialog.get_by_role("button", name="Cancel" if name is None else "Ok").click()
    dialog.wait_for(state="detached")


@pytest.mark.usefixtures("engines")
def test_the_palette_asks_which_engine_and_running_stops_all(lab: Lab, page: Any, registry: Registry) -> None:
    def states() -> list[str]:
        return [registry.get(name).state for name in ("one", "two", "loader")]  # type: ignore[union-attr]

    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    notebook(page, lab, "commanding.ipynb", ["x = 1"])
    row(page, "loader", "loading").wait_for()
    answering, running = {"one", "two"}, {"one", "two", "loader"}
    bench, client = "Insert a Cell That Benches an Engine…", "Insert a Cell That Asks an Engine…"
    command(page, bench)
    choose(page, bench, "two", answering)
    cells_are(page, "x = 1", LOAD, BENCH)
    command(page, bench)
    choose(page, bench, None, answering)
    command(page, client)
    choose(page, client, "two", answering)
    cells_are(page, "x = 1", LOAD, BENCH, CLIENT)
    page.locator(".jp-Notebook .cm-line", has_text="two.client.chat").wait_for()
    command(page, "Copy the Base URL of an Engine…")
    choose(page, "Copy the Base URL", "two", answering)
    copied(page, lambda text: text == "http://127.0.0.1:9001/v1")
    command(page, "Open the Log of an Engine…")
    choose(page, "Open the Log", "loader", running)
    page.locator(".lm-TabBar-tabLabel", has_text="Log of loader").wait_for()

    command(page, "Stop an Engine…")
    choose(page, "Stop an Engine…", "two", running)
    asks = page.locator(".jp-Dialog", has_text="Stop two?")
    asks.get_by_text("Everybody who uses it loses it.").wait_for()
    page.wait_for_function("document.activeElement?.innerText?.trim() === 'Cancel'")  # who types on stops nothing
    page.keyboard.press("Enter")
    asks.wait_for(state="detached")
    command(page, "Stop an Engine…")
    choose(page, "Stop an Engine…", "one", running)
    page.locator(".jp-Dialog", has_text="Stop one?").get_by_role("button", name="Stop", exact=True).click()
    row(page, "one").wait_for(state="detached")
    assert states() == ["stopped", "ready", "loading"]
    page.evaluate("navigator.clipboard.writeText('')")
    command(page, "Copy the Base URL of an Engine…")  # where only one is meant, nobody is asked
    copied(page, lambda text: text == "http://127.0.0.1:9001/v1")

    page.click('[data-id="jp-running-sessions"]')
    items = page.locator(".jp-RunningSessions-item.llm-Running")
    items.get_by_text("two").wait_for()
    heading = page.locator(".jp-AccordionPanel-title", has_text="LLM engines")
    for answer, left in (("Cancel", ["ready", "loading"]), ("Stop All", ["stopped", "stopped"])):
        heading.locator(".jp-RunningSessions-shutdownAll").click()
        asks = page.locator(".jp-Dialog", has_text="Stop all engines of this machine that you started?")
        asks.get_by_role("button", name=answer).click()
        asks.wait_for(state="detached")
        items.first.wait_for(state="visible" if answer == "Cancel" else "detached")
        wait_until(lambda left=left: states() == ["stopped", *left])

    command(page, bench)
    none = page.locator(".jp-Dialog", has_text="There is no such engine now.")
    none.get_by_role("button", name="Ok").click()
    none.wait_for(state="detached")
