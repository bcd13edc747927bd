"""The three magics typed into a real notebook in a browser: a card, a figure, a verdict, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat

CELLS = [
    "%load_ext llm_magics",
    "%serve tiny",
    "%%bench tiny\ninput_tokens: 64\noutput_tokens: 32\nconcurrency: [1, 2, 4]\nrequests: 12\nslo: {ttft: 250ms}",
    "%serve single --max-num-seqs 1",
    "%%compare tiny single\nExplain PagedAttention in one sentence.",
    "%%compare tiny single --load\noutput_tokens: 16\nconcurrency: [1, 4]\nrequests: 16",
    "%%serve tiny\nmax_modellen: 8192",
    "%llm list",
    "%llm stop --all",
]


def test_the_magics_in_a_live_notebook(lab: Any, new_page: Callable[..., Any], picture: Callable[..., Path]) -> None:
    page = new_page(height=5200)
    lab.open(page, lab.write("live.ipynb", [nbformat.v4.new_code_cell(source) for source in CELLS]))
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    for number in range(len(CELLS)):
        page.locator(".jp-Notebook .jp-CodeCell .cm-content").nth(number).click()
        page.keyboard.press("Shift+Enter")
        page.locator(".jp-Notebook .jp-CodeCell").nth(number).get_by_text(f"[{number + 1}]:").first.wait_for()
    cells = page.locator(".jp-Notebook .jp-CodeCell .jp-Cell-outputWrapper")
    cells.nth(8).get_by_text("tiny is stopped").wait_for()  # an output may come after the number beside it
    for number in (2, 5):
        cells.nth(number).locator(".js-plotly-plot .main-svg").first.wait_for(state="attached")
    picture(page, "live")
    whole = page.locator(".jp-Notebook .jp-CodeCell")
    for name, first, last in (("serve-and-bench", 1, 2), ("compare", 4, 5)):  # the README's pictures
        top, bottom = whole.nth(first).bounding_box(), whole.nth(last).bounding_box()
        height = bottom["y"] + bottom["height"] - top["y"]
        box = {"x": top["x"], "y": top["y"], "width": top["width"], "height": height}
        page.screenshot(path=str(picture(page, name)), clip=box)
    assert "ready" in cells.nth(1).inner_text()
    assert "http://127.0.0.1:" in cells.nth(1).inner_text()
    said = cells.nth(5).inner_text()
    assert "At 1 stream" in said
    assert "No verdict on TTFT p99: it takes 300 requests a point" in said
    words = cells.nth(4).inner_text()
    assert "tok/s" in words
    assert words.lower().count("cache") >= 2  # both answered
    assert "did you mean 'max_model_len'" in cells.nth(6).inner_text()
    assert "Traceback" not in cells.nth(6).inner_text()
    assert "single" in cells.nth(7).inner_text()
