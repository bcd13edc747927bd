"""The verbs of learning: the path (`learn`), and what its ongoing tasks take (`report`, `engines --outdated`).

Beside `verbs`, which names them: each function answers with something to show and the same as plain data.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.spec.line import LineParser


def learn_options(line: LineParser) -> None:
    """`learn [TASK] [--to FOLDER | --tick | --untick]`."""
    line.add_argument("task", nargs="?", default=None, help="a task: explain it and copy its notebook here")
    which = line.add_mutually_exclusive_group()
    which.add_argument("--to", default=None, metavar="FOLDER", help="copy the notebook there instead")
    which.add_argument("--tick", action="store_true", default=False, help="mark a task that nothing can see")
    which.add_argument("--untick", action="store_true", default=False, help="take the mark away")


def learn(options: Any) -> tuple[Any, Any]:
    """The path, or one task with its notebook."""
    from llm_magics.api import learning
    from llm_magics.learn import path
    from llm_magics.views.learning import PathView, TaskView

    if options.task is None:
        if options.tick or options.untick or options.to:
            raise SpecError("Which task?", then="%llm learn TASK --tick")
        weeks = learning.overview()
        return PathView(weeks), weeks
    task = path.task(options.task)
    if options.tick or options.untick:
        learning.tick(task.id, options.tick)
    state = next(each for week in learning.overview() for each in week["tasks"] if each["id"] == task.id)
    copied = None
    if task.notebook and not (options.tick or options.untick):
        copied = str(learning.notebook(task.id, options.to or "."))
    return TaskView(state, copied), {**state, "copied_to": copied}


def report_options(line: LineParser) -> None:
    """`report RUN [--question TEXT]`."""
    line.add_argument("run", help="the run (an id or the start of one)")
    line.add_argument("--question", default="", metavar="TEXT", help="what you ask or say, in your words")


def report(options: Any) -> tuple[Any, Any]:
    """A run as Markdown to be pasted into an issue."""
    from llm_magics.api.learning import note
    from llm_magics.api.stored_runs import load_run
    from llm_magics.results.issue_report import issue_report

    run = load_run(options.run)
    written = issue_report(run, options.question)
    note("reported", {"run": run.id})
    return written, {"run": run.id, "markdown": written}


def outdated() -> tuple[Any, Any]:
    """Installed engines beside their newest releases."""
    from llm_magics.api.learning import note
    from llm_magics.engines.outdated import outdated as asked
    from llm_magics.views.outdated import outdated as shown

    found = [asdict(each) for each in asked()]
    if any(each["newest"] for each in found):
        note("outdated", {"newer": sum(each["state"] == "outdated" for each in found)})
    return shown(found), found
