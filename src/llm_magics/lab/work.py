"""Routes of what a person did and what is next: stored runs, and the tasks of the learning path."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web

from llm_magics.errors import LLMMagicsError
from llm_magics.lab.handler import Handler

RUN = r"(?P<run>[A-Za-z0-9][A-Za-z0-9._-]{0,63})"
TASK = r"(?P<task>[a-z0-9][a-z0-9-]{0,63})"


class Runs(Handler):
    """`runs`: the newest runs, without their requests."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """The list, newest first."""
        limit = self.number("limit", 20, 1, 200)
        self.finish({"runs": await self.aside(("runs", limit), lambda: _runs(limit), 10.0)})


class OneRun(Handler):
    """`runs/ID`: one run, drawn: a mime bundle as a notebook would hold it."""

    @web.authenticated
    @authorized
    async def get(self, run: str) -> None:
        """Figure, table and text."""
        found = await self.aside(("run", run), lambda: _drawn(run), 60.0)
        if found is None:
            raise self.failure(404, f"There is no run {run}.")
        self.finish(found)


class Tasks(Handler):
    """`tasks`: the weeks of the learning path, their ticks, and what is missing for the others."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """The path."""
        self.finish({"weeks": await self.aside("tasks", _weeks, 20.0)})


class _TaskHandler(Handler):
    async def known(self, task: str) -> None:
        """Raises 404 for a task that is not on the path."""
        weeks = await self.aside("tasks", _weeks, 20.0)
        if not any(each["id"] == task for week in weeks for each in week["tasks"]):
            raise self.failure(404, f"There is no task {task}.")


class OneTask(_TaskHandler):
    """`tasks/ID`: PUT ticks by hand what nothing can see."""

    @web.authenticated
    @authorized
    async def put(self, task: str) -> None:
        """`{"done": true|false}`."""
        body = self.body()
        done = body.get("done")
        if set(body) != {"done"} or not isinstance(done, bool):
            raise self.failure(400, 'A tick is {"done": true} or {"done": false}.')
        await self.known(task)
        await self.aside(("tick", task, done), lambda: _tick(task, done))
        self.finish({"weeks": await self.aside("tasks", _weeks, 20.0)})


class TaskNotebook(_TaskHandler):
    """`tasks/ID/notebook`: POST puts the task's notebook into a folder of the user's, and answers with its path."""

    @web.authenticated
    @authorized
    async def post(self, task: str) -> None:
        """`{"folder": "path below the server's root"}`; a copy that is there already stays as it is."""
        body = self.body()
        folder = body.get("folder", "")
        if set(body) - {"folder"} or not isinstance(folder, str) or "\0" in folder:
            raise self.failure(400, 'A folder is {"folder": "path below the root"}.')
        await self.known(task)
        root_dir = getattr(self.contents_manager, "root_dir", None)
        if not root_dir:
            raise self.failure(409, "This server's files are not on its disk.", then="copy it from examples/ yourself")
        copied = await self.aside(("notebook", task, folder), lambda: _notebook(task, Path(root_dir), folder))
        if copied is None:
            raise self.failure(400, "The folder must be below the server's root.")
        self.finish({"path": copied})


def _runs(limit: int) -> list[dict[str, Any]]:
    from llm_magics.results.store import RunStore

    return [asdict(row) for row in RunStore().list(limit)]


def _drawn(reference: str) -> dict[str, Any] | None:
    from llm_magics.results.store import RunStore
    from llm_magics.views.runs import RunRenderer

    try:
        run = RunStore().get(reference)
    except KeyError:
        return None
    # No stills: the browser draws the figure itself, and a PNG of it would be drawn by a browser that is started here.
    return {"id": run.id, "label": run.label, "data": RunRenderer().bundle(run, stills=False)}


def _weeks() -> list[dict[str, Any]]:
    from llm_magics import learn
    from llm_magics.runtime.gpus import gpus
    from llm_magics.runtime.registry import Registry

    cards = len(gpus(Registry(starts_nothing=True)))
    # Only what can be seen without asking: engines are found by starting interpreters, and no route starts a process.
    return learn.overview(lacks=[need for need, least in (("gpu", 1), ("gpus", 2)) if cards < least])


def _tick(task: str, done: bool) -> None:
    from llm_magics import learn

    learn.tick(task, done)


def _notebook(task: str, root_dir: Path, folder: str) -> str | None:
    """The copy's path below the root; None for a folder that is not below it, links followed."""
    from llm_magics import learn

    root = root_dir.resolve()
    target = (root / folder.strip("/")).resolve()
    if not target.is_relative_to(root):
        return None
    if not target.is_dir():
        raise LLMMagicsError(f"{target.name} is no folder.", then="open a folder in the file browser")
    return learn.notebook(task, target).relative_to(root).as_posix()
