"""The sidebar in a real browser: engines that a notebook serves, what becomes of them, and every place they show in.

It needs the built extension: `make sidebar` links it into the environment.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from served import Lab, start_lab

from llm_magics.runtime import identity
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry

ROOT = Path(__file__).parents[2]
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
TAB = '[data-id="llm-magics"]'


def row(page: Any, name: str, state: str | None = None) -> Any:
    return page.locator(f'.llm-Row[data-name="{name}"]' + (f'[data-state="{state}"]' if state else ""))


def show(page: Any, lab: Lab, where: str = "/lab") -> None:
    page.goto(f"{lab.url}{where}?token={lab.token}&reset")
    page.wait_for_selector(TAB)
    if page.locator("#llm-magics:visible").count() == 0:
        page.click(TAB)
    page.wait_for_selector("#llm-magics .llm-Section")


def notebook(page: Any, lab: Lab, name: str, cells: list[str]) -> None:
    """The panel beside a notebook whose kernel is there."""
    lab.write(name, [nbformat.v4.new_code_cell(source) for source in cells])
    show(page, lab, f"/lab/tree/{name}")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()


def run_cell(page: Any, number: int) -> None:
    page.locator(".jp-Notebook .jp-CodeCell .cm-content").nth(number).click()
    page.keyboard.press("Shift+Enter")


@pytest.fixture
def registry(lab: Lab) -> Iterator[Registry]:
    """The server's directory of engines; emptied of what a test wrote into it."""
    directory = Path(lab.environment["JUPYTER_RUNTIME_DIR"]) / "llm-magics"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = Registry(directory)
    yield found
    for path in directory.iterdir():
        if path.suffix in (".json", ".log") and "made" in path.stem:
            path.unlink()


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


def test_an_engine_from_its_cell_to_its_end(lab: Lab, new_page: Callable[..., Any]) -> None:
    page = new_page()
    cells = ["%load_ext llm_magics\n%serve tiny", "%%bench tiny\nconcurrency: [2]\nduration: 8s\noutput_tokens: 64", ""]
    notebook(page, lab, "serving.ipynb", cells)
    assert page.get_by_text("No engine is running.").count() == 1
    run_cell(page, 0)
    row(page, "tiny").wait_for()
    row(page, "tiny", "ready").wait_for()
    row(page, "tiny").get_by_text("by serving.ipynb").wait_for()

    run_cell(page, 1)
    row(page, "tiny").get_by_text("2 running").wait_for()
    page.wait_for_function(
        """() => (document.querySelector('.llm-Row[data-name="tiny"] .llm-Rate svg')?.getAttribute('aria-label') ?? '0')
             .match(/^[\\d,.]+/)[0] !== '0'"""
    )
    page.locator("summary", has_text="Runs").wait_for()  # what was measured is in the list

    row(page, "tiny").get_by_role("button", name="Open the log of tiny").click()
    page.locator(".llm-Line").first.wait_for()
    assert serious(page) == []
    lines = page.evaluate("document.querySelector('.llm-Log').scrollHeight")
    log = Path(lab.environment["JUPYTER_RUNTIME_DIR"]) / "llm-magics" / "tiny.log"
    with log.open("a") as file:
        file.write("ERROR a line of this test <b>x</b>\n" * 50)
    page.get_by_text("ERROR a line of this test <b>x</b>").first.wait_for()
    assert page.evaluate("document.querySelector('.llm-Log').scrollHeight") > lines
    page.get_by_role("searchbox").fill("LINE OF THIS TEST")
    page.get_by_text("1/50").wait_for()

    row(page, "tiny").get_by_role("button", name="Stop tiny").click()
    row(page, "tiny").get_by_role("button", name="Do not stop tiny").click()
    assert row(page, "tiny", "ready").count() == 1
    row(page, "tiny").get_by_role("button", name="Stop tiny").click()
    row(page, "tiny").get_by_role("button", name="Yes, stop tiny").click()
    row(page, "tiny").wait_for(state="detached")


def test_what_a_kernel_and_an_engine_leave_behind(lab: Lab, new_page: Callable[..., Any]) -> None:
    page = new_page()
    notebook(page, lab, "leaving.ipynb", ["%load_ext llm_magics\n%serve left", "import os; os.kill(os.getpid(), 9)"])
    run_cell(page, 0)
    row(page, "left", "ready").wait_for()
    run_cell(page, 1)  # the kernel dies; the engine waits for its successor, and says how long
    page.locator(".jp-Dialog", has_text="Kernel Restarting").get_by_role("button", name="Ok").click()
    row(page, "left").get_by_text("its notebook ended").wait_for()
    row(page, "left").get_by_role("button", name="Keep left for another hour").click()
    row(page, "left").get_by_text("stops in 59:").wait_for()

    registry = Registry(Path(lab.environment["JUPYTER_RUNTIME_DIR"]) / "llm-magics")
    record = registry.get("left")
    assert record is not None
    os.kill(record.process["pid"], signal.SIGKILL)  # type: ignore[index]
    row(page, "left", "failed").wait_for()
    row(page, "left").locator(".llm-Diagnosis").wait_for()
    row(page, "left").get_by_role("button", name="Forget left and its log").click()
    row(page, "left").wait_for(state="detached")
    assert registry.read("left") is None

    lab.run("serve", "lost", "--keep", "detached")
    row(page, "lost", "ready").wait_for()
    os.kill(registry.get("lost").supervisor["pid"], signal.SIGKILL)  # type: ignore[union-attr]
    row(page, "lost", "lost").wait_for()
    row(page, "lost").get_by_role("button", name="Forget lost and its log").click()
    row(page, "lost").wait_for(state="detached")


def test_names_full_of_html_are_names(lab: Lab, page: Any, registry: Registry) -> None:
    evil = '<img src=x onerror="document.body.dataset.evil=1">\'&'
    made(registry, model=evil, engine=evil, engine_version=evil, owners=[{"notebook": f"/{evil}"}])
    made(registry, "made2", state="failed", diagnosis={"cause": evil, "line": evil, "remedy": evil})
    show(page, lab)
    row(page, "made2").locator(".llm-Diagnosis").wait_for()
    assert row(page, "made").get_by_text("<img src=x").count() >= 1
    assert page.evaluate("document.body.dataset.evil") is None
    assert page.locator("#llm-magics img").count() == 0


def test_two_tabs_see_the_same_and_a_hidden_panel_asks_nothing(
    lab: Lab, new_page: Callable[..., Any], registry: Registry
) -> None:
    pages = [new_page(), new_page()]
    for page in pages:
        show(page, lab)
    made(registry, state="loading", stage="loading weights 3/5")
    for page in pages:
        row(page, "made", "loading").get_by_text("loading weights 3/5").wait_for()
    page = pages[0]
    page.click(TAB)  # folds it away
    page.locator("#llm-magics").wait_for(state="hidden")
    time.sleep(1)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    made(registry)
    row(pages[1], "made", "ready").wait_for()
    time.sleep(3)
    assert [url for url in asked if "llm-magics" in url] == []
    page.click(TAB)
    row(page, "made", "ready").wait_for()
    (registry.directory / "made.json").unlink()
    for each in pages:
        row(each, "made").wait_for(state="detached")


def test_cells_are_inserted_and_dragged(lab: Lab, page: Any, registry: Registry) -> None:
    made(registry)
    notebook(page, lab, "inserting.ipynb", ["x = 1"])
    row(page, "made").get_by_role("button", name="benches").click()
    sources = "[...document.querySelectorAll('.jp-Notebook .jp-Cell .cm-content')].map(each => each.innerText)"
    page.wait_for_function(f"{sources}.length === 3")
    assert page.evaluate(sources)[:2] == ["x = 1", "%load_ext llm_magics"]
    assert page.evaluate(sources)[2].startswith("%%bench made")
    row(page, "made").get_by_role("button", name="openai client").click()
    page.wait_for_function(f"{sources}.length === 4")
    begin = row(page, "made").locator(".llm-Row-name").bounding_box()
    end = page.locator(".jp-Notebook .jp-Cell").first.bounding_box()
    page.mouse.move(begin["x"] + 5, begin["y"] + 5)
    page.mouse.down()
    page.mouse.move(end["x"] + 200, end["y"] + end["height"] / 2, steps=12)
    page.mouse.up()
    page.wait_for_function(f"{sources}.length === 5")
    assert sum(source.startswith("%%bench made") for source in page.evaluate(sources)) == 2


def test_the_running_panel_lists_and_stops(lab: Lab, page: Any) -> None:
    lab.run("serve", "native", "--keep", "detached")
    page.goto(f"{lab.url}/lab?token={lab.token}&reset")
    page.click('[data-id="jp-running-sessions"]')
    item = page.locator(".jp-RunningSessions-item.llm-Running")
    item.get_by_text("native").wait_for()
    item.hover()
    item.locator(".jp-RunningSessions-itemShutdown").click()
    item.wait_for(state="detached")


def test_notebook_7_has_the_panel_and_the_running_tab(tmp_path: Path, page: Any, new_page: Callable[..., Any]) -> None:
    found = start_lab(tmp_path, app="notebook")
    try:
        directory = tmp_path / "runtime" / "llm-magics"
        directory.mkdir(mode=0o700, parents=True)
        made(Registry(directory))
        page.goto(f"{found.url}/tree?token={found.token}")
        page.get_by_role("tab", name="Running").click()
        page.locator(".jp-RunningSessions-item.llm-Running").get_by_text("made").wait_for()
        found.write("seven.ipynb", [nbformat.v4.new_code_cell("1")])
        other = new_page()
        other.goto(f"{found.url}/notebooks/seven.ipynb?token={found.token}")
        other.get_by_text("View", exact=True).click()
        other.get_by_text("LLM Engines", exact=True).hover()
        other.get_by_text("Show LLM Engines").click()
        row(other, "made", "ready").wait_for()
        row(other, "made").get_by_role("button", name="Open the log of made").click()
        other.locator(".llm-Log").wait_for()
        for each in (page, other):
            # Notebook 7's own: its shortcuts hear of plugins before their settings are there, when the machine is slow.
            each.seen.errors = [error for error in each.seen.errors if "reading 'schema'" not in error]
    finally:
        found.stop()


def test_a_server_that_goes_and_comes_back(tmp_path: Path, new_page: Callable[..., Any]) -> None:
    found = start_lab(tmp_path)
    port = int(found.url.rsplit(":", 1)[1])
    try:
        directory = tmp_path / "runtime" / "llm-magics"
        directory.mkdir(mode=0o700, parents=True)
        made(Registry(directory))
        page = new_page()
        show(page, found)
        row(page, "made", "ready").wait_for()
        found.stop()
        page.locator(".llm-Trouble", has_text="does not answer").wait_for()
        assert row(page, "made").count() == 1  # what was known stays
        found = start_lab(tmp_path, port)
        made(Registry(directory), state="loading", stage="after the restart")
        row(page, "made", "loading").get_by_text("after the restart").wait_for()
        assert page.locator(".llm-Trouble").inner_text() == ""
        # Lab's own requests (its workspace, its status) fail meanwhile and say so to nobody; ours must not.
        page.seen.errors = [error for error in page.seen.errors if "/lab/extensions/llm-magics/" in error]
    finally:
        found.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_and_looks_right(
    lab: Lab, new_page: Callable[..., Any], picture: Callable[..., Path], registry: Registry, scheme: str
) -> None:
    now = time.time()
    made(registry)
    made(registry, "made_loading", state="loading", stage="loading weights 3/5", created=now - 40, ready_at=None,
         expected=95.0, model="meta-llama/Llama-3.3-70B-Instruct-with-a-very-long-name-indeed")  # fmt: skip
    made(registry, "made_idle", stops_at=now + 250, stops_why="it was idle")
    made(registry, "made_failed", state="failed", exit=1, diagnosis={
        "cause": "the GPU has too little memory for 8192 tokens", "line": "ValueError: max seq len (131072)",
        "remedy": "max_model_len: 4096"})  # fmt: skip
    page = new_page(scheme)
    show(page, lab)
    row(page, "made_failed").wait_for()
    row(page, "made_idle").get_by_text("stops in").wait_for()
    page.keyboard.press("Tab")
    row(page, "made").get_by_role("button", name="Stop made").focus()
    page.keyboard.press("Enter")
    row(page, "made").get_by_role("button", name="Yes, stop made").wait_for()
    picture(page.locator("#llm-magics"), f"sidebar-{scheme}")
    assert serious(page) == []
    row(page, "made").get_by_role("button", name="Do not stop made").click()
    registry.log_path("made").write_text("INFO ready\nWARNING slow\nERROR no\n")
    row(page, "made").get_by_role("button", name="Open the log of made").click()
    page.get_by_text("ERROR no").wait_for()
    assert serious(page) == []


def test_fifty_engines_and_a_log_of_a_gigabyte(lab: Lab, page: Any, registry: Registry) -> None:
    for number in range(50):
        made(registry, f"made{number}", created=float(number + 1))
    with registry.log_path("made0").open("wb") as file:
        file.truncate(2**30)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + b"INFO the end of a long log\n" * 3000)
    show(page, lab)
    page.wait_for_function("document.querySelectorAll('.llm-Row').length === 50")
    row(page, "made0").get_by_role("button", name="Open the log of made0").click()
    page.get_by_text("INFO the end of a long log").first.wait_for()
    assert page.locator(".llm-Line").count() < 200
