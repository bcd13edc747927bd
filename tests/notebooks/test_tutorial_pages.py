"""The pages that `make tutorials` leaves: whoever reads them from top to bottom is told all, and lands on pages."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from llm_magics.learn import path, progress
from llm_magics.results.journal import Journal
from llm_magics.results.store import RunStore

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.ipynb"))


@pytest.fixture(scope="module")
def tutorials() -> Iterator[ModuleType]:
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        yield importlib.import_module("tutorials")
    finally:
        sys.path.remove(str(ROOT / "tools"))
        for name in ("isolated", "run_notebooks", "tutorials"):
            sys.modules.pop(name, None)


@pytest.fixture
def book(tmp_path: Path) -> Journal:
    return Journal(RunStore(tmp_path / "runs.sqlite"))


@pytest.mark.parametrize("source", EXAMPLES, ids=lambda each: each.stem)
def test_every_notebook_says_what_it_asks(tutorials: ModuleType, source: Path) -> None:
    title, question = tutorials.introduced(source)
    assert title
    assert not title.startswith("#")
    assert len(question) > 40
    assert not question.startswith("**Question")


def test_every_notebook_stands_once_in_the_order_of_the_path(tutorials: ModuleType, book: Journal) -> None:
    lessons = [tutorials.Lesson(each.name, *tutorials.introduced(each), 1.0, "") for each in EXAMPLES]
    page = tutorials.index(lessons, progress.overview(journal=book))
    order = re.findall(r'href="(\d\d-[\w-]+)\.html"', page)
    assert sorted(order) == [each.stem for each in EXAMPLES]
    along = dict.fromkeys(task.notebook.removesuffix(".ipynb") for task in path.tasks() if task.notebook)
    assert order == ["00-quickstart", *along]
    assert f"{len(EXAMPLES)} notebooks in {len(EXAMPLES) / 60:.1f} minutes; all ran to their end." in page


def test_a_task_is_ticked_there_when_the_run_ticked_it(tutorials: ModuleType, book: Journal) -> None:
    lesson = tutorials.Lesson("01-first-server.ipynb", "One", "Why?", 1.0, "")
    assert "☐ first-server" in tutorials.index([lesson], progress.overview(journal=book))
    book.note("served", {"engine": "llamacpp", "model": "tiny"})
    assert "☑ first-server, in its lighter form" in tutorials.index([lesson], progress.overview(journal=book))


def test_what_failed_is_said_and_escaped(tutorials: ModuleType, book: Journal) -> None:
    lesson = tutorials.Lesson("01-first-server.ipynb", "One <b>", "Why?", 1.0, "NameError: <script>")
    page = tutorials.index([lesson], progress.overview(journal=book))
    assert "1 failed." in page
    assert "ran to its end" not in page
    assert "NameError: &lt;script&gt;" in page
    assert "One &lt;b&gt;" in page


def test_links_of_a_page_lead_to_pages_and_into_the_clone(tutorials: ModuleType) -> None:
    page = tutorials.linked(
        '<main><a href="02-a-b.ipynb">2</a> <a href="../docs/x.md">x</a> <a href="https://a/b.ipynb">'
    )
    assert '<a href="02-a-b.html">' in page
    assert '<a href="../../docs/x.md">' in page
    assert '<a href="https://a/b.ipynb">' in page
    assert '<a href="index.html">' in page
