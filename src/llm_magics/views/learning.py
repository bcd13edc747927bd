"""How the learning path looks: one table with a row a task, or one task explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llm_magics.views.format import NOTHING
from llm_magics.views.markup import Markup, page, tag
from llm_magics.views.table import READABLE, Cell, Column, Table

_LACKS = {"gpu": "a GPU", "gpus": "two GPUs"}


class PathView:
    """The whole path; `weeks` as `learn.progress.overview` gives them."""

    def __init__(self, weeks: Sequence[Mapping[str, Any]]) -> None:
        self.weeks = weeks

    def __str__(self) -> str:
        return str(self._table())

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/html": page(self._table().html()), "text/plain": str(self)}

    def _table(self) -> Table:
        columns = [Column("Weeks"), Column("Task", wrap=True), Column("Done"), Column("Still to do", wrap=True)]
        rows: list[list[Cell | str]] = []
        for week in self.weeks:
            for number, task in enumerate(week["tasks"]):
                when = Cell(f"{week['week']}", note=week["title"]) if number == 0 else ""
                rows.append([when, Cell(task["id"], note=task["title"]), _tick(task), _still(task)])
        done = sum(task["done"] for week in self.weeks for task in week["tasks"])
        caption = f"The learning path: {done} of {len(rows)} tasks are done"
        notes = ["%llm learn TASK explains one and copies its notebook here."]
        return Table(columns, rows, caption=caption, notes=notes, widest=READABLE)


class TaskView:
    """One task: why, how far it is, what ticks it, where its notebook is."""

    def __init__(self, task: Mapping[str, Any], notebook: str | None = None) -> None:
        self.task, self.notebook = task, notebook

    def __str__(self) -> str:
        return "\n".join([f"{self.task['title']} ({self.task['id']})", *self._sentences()])

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        parts: list[Markup] = [tag("p", each) for each in self._sentences()]
        if self.notebook:
            parts[-1] = tag("p", "Notebook: ", tag("a", self.notebook, href=self.notebook))
        return {"text/html": page(tag("div", self.task["title"], cls="title"), *parts), "text/plain": str(self)}

    def _sentences(self) -> list[str]:
        task = self.task
        said = [task["why"]]
        if task["done"]:
            form = ", in its lighter form" if task["form"] == "lighter" else ""
            said.append(f"Done {task['done_at'][:10]} ({task['how']}{form}).")
        elif task["manual"]:
            said.append(f"Nothing can see this one: %llm learn {task['id']} --tick marks it, --untick takes that back.")
        else:
            said.append("It ticks itself when you " + "; and ".join(task["missing"]) + ".")
        if task["cannot"] and task["form"] != "full":
            lacks = ", ".join(_LACKS.get(each, each) for each in task["cannot"])
            said.append(f"The full task needs {lacks}, which this machine does not have. {task['lighter']}")
        if task["today"]:
            said.append(task["today"])
        if self.notebook:
            said.append(f"Notebook: {self.notebook}")
        return said


def _tick(task: Mapping[str, Any]) -> Cell:
    if not task["done"]:
        return Cell(NOTHING, tone="muted")
    form = "lighter form" if task["form"] == "lighter" else "by hand" if task["how"] == "manual" else ""
    return Cell(f"✓ {task['done_at'][:10]}", tone="good", note=form)


def _still(task: Mapping[str, Any]) -> Cell:
    if task["done"]:
        return Cell("")
    if task["manual"]:
        return Cell("mark it by hand" if task["notebook"] else "mark it by hand; no notebook yet")
    form = str(task["lighter"]).rstrip(".") if task["cannot"] else ""
    return Cell("; ".join(task["missing"]), note=f"lighter form: {form[:1].lower()}{form[1:]}" if form else "")
