"""Every place that the sidebar shows in and puts something into: tabs, notebooks, the palette, Running, Notebook 7."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from browsing import OURS
from pictured import busy_run
from served import Lab, start_lab
from sidebar_page import TAB, cells_are, command, drag, made, notebook, row, show, wait_until

from llm_magics.results.store import RunStore
from llm_magics.runtime.registry import Registry

LOAD, BENCH, CLIENT = "%load_ext llm_magics", "%%bench made", "import llm_magics"


def layout(lab: Lab) -> str:
    """What Lab keeps of the page, to be opened again."""
    return "".join(path.read_text() for path in (lab.data.parent / "workspaces").glob("*"))


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
    page.wait_for_timeout(500)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    made(registry)
    row(pages[1], "made", "ready").wait_for()
    page.wait_for_timeout(1500)
    assert [url for url in asked if "llm-magics" in url] == []
    page.click(TAB)
    row(page, "made", "ready").wait_for()
    (registry.directory / "made.json").unlink()
    for each in pages:
        row(each, "made").wait_for(state="detached")


def test_cells_come_from_rows_runs_and_the_palette(lab: Lab, page: Any, registry: Registry) -> None:
    store = RunStore(lab.data / "llm-magics" / "runs.sqlite")
    runs = [busy_run(name=name, requests=40) for name in ("one", "other", "third")]
    runs[2].header["round"] = "round 2 of third and one"
    for run in runs:
        store.save(run)
    made(registry)
    notebook(page, lab, "inserting.ipynb", ["x = 1"])
    row(page, "made").get_by_role("button", name="benches").click()
    cells_are(page, "x = 1", LOAD, BENCH)
    row(page, "made").get_by_role("button", name="openai client").click()
    cells_are(page, "x = 1", LOAD, BENCH, CLIENT)
    drag(page, "made", 3)
    cells_are(page, "x = 1", LOAD, BENCH, BENCH, CLIENT)
    page.locator("summary", has_text="Runs").click()
    compare = page.get_by_role("button", name="Insert a cell that compares the two chosen runs")
    assert compare.is_disabled()
    for run in runs[:2]:
        page.get_by_role("checkbox", name=f"Choose the run of {run.name}").check()
    third = page.locator(".llm-Run", has_text="third")
    third.get_by_text("round 2 of third and one").wait_for()
    assert third.get_by_role("checkbox").is_disabled()  # two are chosen, and stay so
    compare.click()
    both = f"%compare {runs[0].id} {runs[1].id}"
    cells_are(page, "x = 1", LOAD, BENCH, BENCH, both, CLIENT)  # below what was dropped

    command(page, "Open the Log of an Engine")
    page.locator(".llm-LogWidget").wait_for()
    page.locator(".llm-Run .llm-Link", has_text="other").click()
    page.locator(".llm-RunView .js-plotly-plot .main-svg").first.wait_for()

    wait_until(lambda: all(f"llm-magics-{kind}" in layout(lab) for kind in ("logs:made", f"runs:{runs[1].id}")))
    page.goto(f"{lab.url}/lab?token={lab.token}")  # loaded again: what was open is open
    page.locator(".lm-TabBar-tabLabel", has_text="Log of made").wait_for()
    page.locator(".llm-RunView .js-plotly-plot .main-svg").first.wait_for()
    page.locator("#llm-magics .llm-Section").first.wait_for()


def test_whatever_puts_a_magic_in_it_is_loaded_above(lab: Lab, page: Any, registry: Registry) -> None:
    """Else running the notebook from top to bottom ends with "Cell magic %%bench not found"."""
    made(registry)
    notebook(page, lab, "first.ipynb", [LOAD, "x = 1"])  # the active cell is the first
    bench = row(page, "made").get_by_role("button", name="benches")
    bench.click()
    cells_are(page, LOAD, BENCH, "x = 1")
    drag(page, "made", 0)
    cells_are(page, LOAD, BENCH, LOAD, BENCH, "x = 1")
    notebook(page, lab, "later.ipynb", ["", "x = 1", LOAD, "y = 2"])
    bench.click()
    cells_are(page, "", "x = 1", LOAD, BENCH, "y = 2")
    page.locator(".jp-Notebook .jp-Cell .cm-content").first.click()
    command(page, "Insert a Cell That Serves a Model")
    cells_are(page, "", "x = 1", LOAD, "%serve tiny", BENCH, "y = 2")
    drag(page, "made", 1)
    cells_are(page, "", LOAD, BENCH, "x = 1", LOAD, "%serve tiny", BENCH, "y = 2")


def test_the_engine_to_serve_is_chosen_by_the_keyboard_alone(lab: Lab, page: Any) -> None:
    notebook(page, lab, "choosing.ipynb", [LOAD])
    choice = page.get_by_role("combobox", name="Engine")
    choice.focus()
    choice.locator("option", has_text="vLLM").wait_for(state="attached")
    for _ in range(2):  # past the first engine, which choosing alone must not put in
        page.keyboard.press("ArrowDown")
    chosen = choice.input_value()
    cells_are(page, LOAD)
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    cells_are(page, LOAD, f"%%serve {chosen} --engine {chosen}")


def test_a_task_opens_its_notebook_and_says_what_is_missing(lab: Lab, page: Any) -> None:
    show(page, lab)
    page.locator(".llm-Task").first.wait_for()
    page.evaluate("document.querySelectorAll('.llm-Week').forEach(week => { week.open = true; })")
    task = page.locator(".llm-Task", has_text="Try quantization")  # which no other test's engines and runs tick
    assert task.get_by_role("checkbox").is_disabled()  # it ticks itself
    task.locator(".llm-Link").click()
    task.get_by_text("Still to do:").wait_for()
    assert task.locator(".llm-Task-body li").count() > 0
    page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for()
    assert (lab.root / "04-quantization.ipynb").is_file()
    box = page.locator(".llm-Task input:enabled").first
    name = box.get_attribute("aria-label")
    for done in (True, False):
        box.click()
        page.wait_for_function(
            '([name, done]) => document.querySelector(`.llm-Task input[aria-label="${name}"]`).checked === done',
            arg=[name, done],
        )


def test_the_launcher_has_a_card_and_the_running_panel_lists_and_stops(lab: Lab, page: Any) -> None:
    lab.run("serve", "native", "--keep", "detached")
    page.goto(f"{lab.url}/lab?token={lab.token}&reset")
    page.locator(".jp-LauncherCard", has_text="LLM engine").click()  # the command of the menu and the palette too
    cells_are(page, LOAD)
    page.locator(".jp-Notebook .cm-line", has_text="%serve tiny").wait_for()
    page.click('[data-id="jp-running-sessions"]')
    item = page.locator(".jp-RunningSessions-item.llm-Running", has_text="native")
    item.hover()
    item.locator(".jp-RunningSessions-itemShutdown").click()
    item.wait_for(state="detached")


def test_notebook_7_has_the_panel_and_the_running_tab(tmp_path: Path, page: Any, new_page: Callable[..., Any]) -> None:
    """Under a base URL, as a hub gives one: list, stop, socket and log are asked for below it."""
    # Notebook 7's own: its shortcuts hear of plugins before their settings are there, when the machine is slow.
    page.seen.ours_only = True
    found = start_lab(tmp_path, app="notebook", base_url="/user/me/")
    try:
        directory = tmp_path / "runtime" / "llm-magics"
        directory.mkdir(mode=0o700, parents=True)
        made(Registry(directory))
        found.run("serve", "native", "--keep", "detached")
        page.goto(f"{found.url}/tree?token={found.token}")
        page.get_by_role("tab", name="Running").click()
        page.locator(".jp-RunningSessions-item.llm-Running").get_by_text("made").wait_for()
        item = page.locator(".jp-RunningSessions-item.llm-Running", has_text="native")
        item.hover()
        item.locator(".jp-RunningSessions-itemShutdown").click()
        item.wait_for(state="detached")
        assert Registry(directory).get("native").state == "stopped"  # type: ignore[union-attr]
        found.write("seven.ipynb", [nbformat.v4.new_code_cell("1")])
        other = new_page()
        other.seen.ours_only = True
        other.goto(f"{found.url}/notebooks/seven.ipynb?token={found.token}")
        other.get_by_text("View", exact=True).click()
        other.get_by_text("LLM Engines", exact=True).hover()
        other.get_by_text("Show LLM Engines").click()
        row(other, "made", "ready").wait_for()
        row(other, "made").get_by_role("button", name="Open the log of made").click()
        other.locator(".llm-Log").wait_for()
        loaded = other.evaluate("performance.getEntriesByType('resource').map(each => each.name)")
        assert any(OURS in name for name in loaded)  # so an error of ours would name it
    finally:
        found.stop()
