"""Our views in a notebook that runs in VS Code: drawn there, saved by it, and pictures for those who draw nothing."""

from __future__ import annotations

import base64
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import plotly
import pytest
from gestures import command, open_file, saved, until
from workbench import PATIENCE, Code, directories, packed, start_code

PLOTLY, WIDGET = "application/vnd.plotly.v1+json", "application/vnd.jupyter.widget-view+json"
BENCH = "run = llm_magics.bench('tiny', input_tokens=32, output_tokens=16, concurrency=[1, 2], requests=6)"
CELLS = [
    "%load_ext llm_magics\nimport llm_magics",
    "%serve tiny",
    BENCH,
    "%env LLM_MAGICS_PICTURES=png",
    "run",
    "%env LLM_MAGICS_PICTURES=svg",
    "run",
    "%env LLM_MAGICS_PICTURES=off",
    "run.widget()",
    "%llm list",
    "%llm stop tiny",
]
PNG, SVG, SLIDERS, LIST = 4, 6, 8, 9


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Code]:
    """A code-server where notebooks run: `kernel/` does what the Jupyter extension of the marketplace would."""
    home = tmp_path_factory.mktemp("vscode")
    script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    kernel = packed(Path(__file__).parent / "kernel", home / "kernel.vsix", script)
    found = start_code(home, {**os.environ, **directories(home)}, kernel)
    yield found
    found.stop()


def outputs(path: Path, number: int) -> list[dict[str, Any]]:
    """The outputs of a cell as they were saved."""
    cells = saved(path)
    return list(cells[number]["outputs"]) if cells else []


def drawn(page: Any) -> Any:
    """Where VS Code draws outputs: a page in a page in the page."""
    return page.frame_locator("iframe.webview.ready").frame_locator("#active-frame")


def show(page: Any, code: Code, name: str) -> None:
    """Opens a notebook."""
    page.goto(code.url)
    page.locator(".activitybar").wait_for()
    open_file(page, name)
    page.locator(".notebookOverlay .view-line").first.wait_for()


def test_views_are_drawn_and_saved_with_pictures(code: Code, page: Any, picture: Any) -> None:
    pytest.importorskip("kaleido")
    path = code.workspace / "views.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS]), path)
    page.set_viewport_size({"width": 1280, "height": 3600})  # outputs out of sight are not drawn
    show(page, code, path.name)
    command(page, "Notebook: Run All")
    until(lambda: bool(outputs(path, len(CELLS) - 1)), page, patience=5 * PATIENCE)

    pictured, scalable, sliders, listed = (outputs(path, number)[-1]["data"] for number in (PNG, SVG, SLIDERS, LIST))
    assert {PLOTLY, "text/html", "text/plain"} <= set(pictured)
    sizes = struct.unpack(">II", base64.b64decode(pictured["image/png"])[16:24])
    assert sizes[0] > 600
    assert sizes[1] > 300
    assert "".join(scalable["image/svg+xml"]).lstrip().startswith("<svg")
    assert "<table" in "".join(sliders["text/html"])  # no widget manager is here
    assert "tiny" in "".join(listed["text/html"])
    for number in range(len(CELLS)):
        for each in outputs(path, number):
            assert each["output_type"] == "stream" or "text/plain" in each["data"]
    nbformat.validate(nbformat.read(path, as_version=4))
    drawn(page).locator(".js-plotly-plot .main-svg").first.wait_for()
    picture(page, "vscode-outputs")

    # The file as somebody reads it who has nothing that draws Plotly: the pictures are in it.
    code.prefer(**{"notebook.displayOrder": ["image/png", "image/svg+xml", "text/html", "text/plain"]})
    show(page, code, path.name)
    image = drawn(page).locator("img[src^='blob:']").first
    image.wait_for()
    until(lambda: image.evaluate("each => each.complete && each.naturalWidth") == sizes[0], page)
    drawn(page).locator(
        "svg:has(title)"
    ).first.wait_for()  # the other cell's, a picture with words for those who see none
    picture(page, "vscode-pictures")
