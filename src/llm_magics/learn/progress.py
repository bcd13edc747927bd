"""How far a person is on the path: plain data, the same for the table in a notebook, the terminal and the sidebar."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from llm_magics.errors import SpecError
from llm_magics.learn import path as the_path
from llm_magics.learn.evidence import met
from llm_magics.results.journal import Deed, Journal


def overview(*, lacks: Collection[str] = (), journal: Journal | None = None) -> list[dict[str, Any]]:
    """The weeks with their tasks, as JSON values.

    Parameters
    ----------
    lacks
        What this machine does not have, of that which tasks need: `gpu`, `gpus`, engines' keys (see `api.learning`).
    journal
        What was done; the user's own when left out.

    Returns
    -------
    list of dict
        `week`, `title`, `tasks`: each with `id title why notebook done how done_at missing manual lighter form today
        guide cannot`. `how` is `measured` or `manual`, `form` is `full` or `lighter`, `missing` says what is still to
        be done, `cannot` what this machine lacks for the full form; `done_at` is ISO 8601, UTC.
    """
    book = journal or Journal()
    deeds, ticks = book.deeds(), book.ticks()
    return [
        {"week": week.week, "title": week.title, "tasks": [_state(task, deeds, ticks, lacks) for task in week.tasks]}
        for week in the_path.path()
    ]


def tick(task: str, done: bool = True, *, journal: Journal | None = None) -> None:
    """Mark a task that cannot be seen, or take the mark away.

    Raises
    ------
    SpecError
        When there is no such task, or it ticks itself.
    """
    found = the_path.task(task)
    if not found.manual:
        waits = "\n".join(each.says for each in found.ticks)
        raise SpecError(f"{found.id} ticks itself, by what is really done.", why=waits, then=f"%llm learn {found.id}")
    (journal or Journal()).tick(found.id, done)


def _state(
    task: the_path.Task, deeds: Sequence[Deed], ticks: dict[str, float], lacks: Collection[str]
) -> dict[str, Any]:
    full = met(task.ticks, deeds)
    light = met(task.lighter_ticks, deeds)
    at = ticks.get(task.id) if task.manual else full if full is not None else light
    return {
        "id": task.id,
        "title": task.title,
        "why": task.why,
        "guide": task.guide,
        "notebook": task.notebook,
        "today": task.today,
        "done": at is not None,
        "how": None if at is None else "manual" if task.manual else "measured",
        "form": None if at is None else "lighter" if not task.manual and full is None else "full",
        "done_at": None if at is None else datetime.fromtimestamp(at, tz=UTC).isoformat(timespec="seconds"),
        "missing": [] if at is not None else _missing(task, deeds, lacks),
        "manual": task.manual,
        "lighter": task.lighter,
        "cannot": [each for each in task.needs if each in lacks],
    }


def _missing(task: the_path.Task, deeds: Sequence[Deed], lacks: Collection[str]) -> list[str]:
    """What is still to be done: of the lighter form where this machine cannot do the full one."""
    lighter = bool(task.lighter_ticks) and any(each in lacks for each in task.needs)
    return [each.says for each in (task.lighter_ticks if lighter else task.ticks) if each.met(deeds) is None]
