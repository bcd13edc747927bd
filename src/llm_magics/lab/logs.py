"""Routes of an engine's log: pages by byte offset, and the whole as an issue report."""

from __future__ import annotations

import re
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web

from llm_magics.lab.handler import Handler

_OFFSET = 2**62
_FILE = re.compile(r"[0-9]{1,20}(?:-.{0,80})?")  # an inode, and the id of the server that wrote it


class Logs(Handler):
    """`engines/NAME/logs`: the last page; with `file` and `after` or `before`: the one next to a place."""

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        """A page of whole lines, secrets left out."""
        from llm_magics.runtime.log_pages import LONGEST

        given = {key for key in ("file", "after", "before") if self.get_query_argument(key, None) is not None}
        if given not in (set(), {"file", "after"}, {"file", "before"}):
            raise self.failure(400, "A place in a log is `file` with `after` or `before`.")
        limit = self.number("limit", LONGEST, 1024, LONGEST)
        where = next(iter(given - {"file"}), "")
        file = self.get_query_argument("file", "0")
        if not _FILE.fullmatch(file):
            raise self.failure(400, "`file` is what a page of this log said.")
        offset = self.number(where, 0, 0, _OFFSET) if where else 0
        name_of_work = ("logs", name, where, file, offset, limit)
        page = await self.aside(name_of_work, lambda: _page(name, where, file, offset, limit))
        if page is None:
            raise self.failure(404, f"There is no engine named {name}.")
        self.finish(page)


class Report(Handler):
    """`engines/NAME/report`: versions, command and the last lines, to be pasted into an issue."""

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        """The report as Markdown, in a JSON object."""
        text = await self.aside(("report", name), lambda: _report(name))
        if text is None:
            raise self.failure(404, f"There is no engine named {name}.")
        self.finish({"text": text})


def _page(name: str, where: str, file: str, offset: int, limit: int) -> dict[str, Any] | None:
    from llm_magics.runtime import log_pages
    from llm_magics.runtime.logs import redact
    from llm_magics.runtime.registry import Registry

    registry = Registry(starts_nothing=True)
    if not registry.exists(name):
        return None
    path, seam = registry.log_path(name), ""
    record = registry.read(name)
    server = record.id if record else ""
    inode, _, wrote = file.partition("-")
    other = bool(wrote and server) and wrote != server  # its log begins anew, in the same file
    if where == "before":
        page = log_pages.Page(0, 0, 0, 0, "") if other else log_pages.before(path, int(inode), offset, limit)
    elif where and not other:
        page = log_pages.after(path, int(inode), offset, limit)
        seam = "gone" if page.skipped else ""
    else:
        page = log_pages.last(path, limit)
        seam = "another" if other else ""
    key = registry.key(name)
    return {
        "file": f"{page.file}-{server}",
        "start": page.start,
        "end": page.end,
        "size": page.size,
        "text": redact(page.text, [key] if key else []),
        "earlier": page.earlier,
        "seam": seam,
    }


def _report(name: str) -> str | None:
    from llm_magics.runtime.gpus import gpus
    from llm_magics.runtime.issue_report import issue_report
    from llm_magics.runtime.registry import Registry

    registry = Registry(starts_nothing=True)
    record = registry.get(name)
    return None if record is None else issue_report(record, registry, gpus(registry))
