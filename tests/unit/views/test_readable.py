"""Every widget of ours is readable where no widget manager is: all that make one are walked here."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made import bench, compared

import llm_magics
from llm_magics import views  # noqa: F401 - teaches results to draw themselves
from llm_magics.advice.recommend import questions, recommend
from llm_magics.results.sweep import Sweep
from llm_magics.views.bundle import PLOTLY

pytest.importorskip("ipywidgets")

ROOT = Path(llm_magics.__file__).parent
WIDGET = "application/vnd.jupyter.widget-view+json"


def form() -> Any:
    from llm_magics.views.recommend import form as made

    return made(questions(), recommend({}, {"hardware": "cpu"}).answers, lambda said: recommend(said, {}))


# The file that makes a widget -> the ways to one, and what it says in text.
WIDGETS: dict[str, dict[str, tuple[Callable[[], Any], str]]] = {
    "views/widget.py": {
        "a run's sliders": (lambda: bench().widget(), "Goodput"),
        "a comparison's sliders": (lambda: compared().widget(), "Goodput"),
        "a sweep's sliders": (lambda: Sweep({"n=1": bench()}, {"n=1": {"n": 1}}).widget(), "Goodput"),
    },
    "views/recommend.py": {"the questions of recommend": (form, "by the rules below")},
}
EACH = [pytest.param(*way, id=name) for ways in WIDGETS.values() for name, way in ways.items()]


def bundle(widget: Any) -> dict[str, Any]:
    """What a front end is sent for it, as IPython makes it."""
    from IPython.core.formatters import DisplayFormatter

    return DisplayFormatter().format(widget)[0]


def imports_widgets(path: Path) -> bool:
    return any(
        (isinstance(node, ast.Import) and any(each.name.split(".")[0] == "ipywidgets" for each in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ipywidgets")
        for node in ast.walk(ast.parse(path.read_text()))
    )


def test_whatever_makes_a_widget_is_walked_here() -> None:
    assert {str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py") if imports_widgets(path)} == set(WIDGETS)


@pytest.mark.parametrize(("make", "words"), EACH)
def test_a_widget_is_a_table_and_text_where_no_widget_manager_is(make: Callable[[], Any], words: str) -> None:
    data = bundle(make())
    assert {WIDGET, "text/html", "text/plain"} <= set(data)
    assert words in data["text/plain"]
    assert "VBox(" not in data["text/plain"]
    assert "<table" in data["text/html"]


def test_what_has_a_figure_keeps_it() -> None:
    assert PLOTLY in bundle(bench().widget())


def test_it_says_what_the_widget_shows_now() -> None:
    box = form()
    *fields, shown = box.children
    before = bundle(box)["text/plain"]
    fields[1].value = "tpu"
    after = bundle(box)
    assert after["text/plain"] != before
    assert after["text/plain"] == shown.outputs[0]["data"]["text/plain"]
