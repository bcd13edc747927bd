"""The path as it stands in `path.yaml`: weeks, their tasks, what ticks each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from llm_magics.errors import SpecError
from llm_magics.learn.evidence import Condition
from llm_magics.spec.reading import nearest


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes
    ----------
    id, title, why
        Its name for typing, for reading, and what it is good for.
    guide
        The line of the guide's learning path that it answers; "" beside the path.
    notebook
        The tutorial's file name; None where there is none yet, and `today` says what can be done now.
    ticks
        Everything that must have been done. Empty: it cannot be seen, and is marked by hand.
    lighter, lighter_ticks
        The form for a machine without a GPU, in words, and what ticks that.
    needs
        What the full form needs of the machine: `gpu`, `gpus` (two or more), or an engine's key.
    """

    id: str
    title: str
    why: str
    guide: str = ""
    notebook: str | None = None
    today: str = ""
    ticks: tuple[Condition, ...] = ()
    lighter: str | None = None
    lighter_ticks: tuple[Condition, ...] = ()
    needs: tuple[str, ...] = ()

    @property
    def manual(self) -> bool:
        """Whether it is marked by hand."""
        return not self.ticks


@dataclass(frozen=True)
class Week:
    """A stretch of the path: its weeks ("1-2", "ongoing", "beside"), its title, its tasks."""

    week: str
    title: str
    tasks: tuple[Task, ...]


@cache
def path() -> tuple[Week, ...]:
    """The path, in order."""
    import yaml

    document = yaml.safe_load(files("llm_magics.learn").joinpath("path.yaml").read_text("utf-8"))
    return tuple(Week(str(each["week"]), each["title"], tuple(map(_task, each["tasks"]))) for each in document["weeks"])


def tasks() -> list[Task]:
    """Every task, in order."""
    return [task for week in path() for task in week.tasks]


def task(name: str) -> Task:
    """A task by its id, its notebook's name, or that name's number.

    Raises
    ------
    SpecError
        When there is no such task; names the nearest.
    """
    stem = name.removesuffix(".ipynb")
    for each in tasks():
        own = (each.notebook or "").removesuffix(".ipynb")
        if name == each.id or (own and (stem == own or stem.zfill(2) == own.partition("-")[0])):
            return each
    known = [each.id for each in tasks()]
    raise SpecError(f"There is no task {name!r}{nearest(name, known)}.", why=", ".join(known), then="%llm learn")


def _task(given: Mapping[str, Any]) -> Task:
    lists = {key: tuple(Condition(**each) for each in given.get(key, ())) for key in ("ticks", "lighter_ticks")}
    return Task(**{**given, **lists, "needs": tuple(given.get("needs", ()))})
