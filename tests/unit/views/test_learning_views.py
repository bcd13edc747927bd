"""The path as a learner sees it: nothing of it may be HTML of its own, and a task says what is missing."""

from __future__ import annotations

from typing import Any

from llm_magics.views.learning import PathView, TaskView

TASK: dict[str, Any] = {
    "id": "first-server", "title": "Run <b>vLLM</b>", "why": "Because.", "notebook": "01-first-server.ipynb",
    "today": "", "done": False, "how": None, "form": None, "done_at": None, "missing": ["serve any model"],
    "manual": False,
    "lighter": "Without a GPU, the small one.", "cannot": ["gpu"],
}  # fmt: skip
DONE = {
    **TASK,
    "done": True,
    "how": "measured",
    "form": "lighter",
    "done_at": "2026-11-26T04:00:00+00:00",
    "missing": [],
}


def test_the_table_says_what_is_done_and_what_is_missing() -> None:
    shown = str(PathView([{"week": "1-2", "title": "Foundations", "tasks": [TASK, DONE]}]))
    assert "1 of 2 tasks are done" in shown
    words = " ".join(shown.split())
    assert "serve any model (lighter form: without a GPU, the small one)" in words
    assert max(map(len, shown.splitlines())) <= 120
    assert "✓ 2026-11-26 (lighter form)" in shown


def test_html_is_escaped() -> None:
    for view in (PathView([{"week": "1", "title": "<i>", "tasks": [TASK]}]), TaskView(TASK, "a<b>.ipynb")):
        html = view._repr_mimebundle_()["text/html"]
        assert "<b>" not in html
        assert "<i>" not in html


def test_a_task_explains_itself() -> None:
    shown = str(TaskView(TASK, "01-first-server.ipynb"))
    for said in ("Because.", "ticks itself when you serve any model", "needs a GPU", "the small one", "Notebook: 01"):
        assert said in shown
    assert "in its lighter form" in str(TaskView(DONE))


def test_a_task_that_nothing_sees_says_how_it_is_marked() -> None:
    task = {**TASK, "id": "kubernetes", "manual": True, "missing": [], "cannot": [], "today": "Use --dry-run."}
    shown = str(TaskView(task))
    assert "%llm learn kubernetes --tick" in shown
    assert "Use --dry-run." in shown
