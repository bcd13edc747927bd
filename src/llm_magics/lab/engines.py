"""Routes of the engines that run: the list, one, stop, keep longer, dismiss.

Only the two DELETEs may start a process, and only one: the command that removes a lost engine's container.
"""

from __future__ import annotations

from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web

from llm_magics.errors import LLMMagicsError
from llm_magics.lab.handler import Handler
from llm_magics.runtime.shown import listed, shown

NAME = r"(?P<name>[A-Za-z_][A-Za-z0-9_]{0,39})"
_STOPPING = 150.0  # s that stopping may take: its own patience, and what comes after (a container's daemon has its own)


class Engines(Handler):
    """`engines`: all of them, with an ETag."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """The list."""
        self.finish(await self.aside("engines", _list))


class OneEngine(Handler):
    """`engines/NAME`: one; DELETE stops it, PATCH keeps it longer."""

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        """One engine, whatever its state."""
        found = await self.aside(("engine", name), lambda: _one(name))
        if found is None:
            raise self.failure(404, f"There is no engine named {name}.")
        self.finish(found)

    @web.authenticated
    @authorized
    async def delete(self, name: str) -> None:
        """Stop it; answers when nothing of it runs any more, or with why that failed."""
        if await self.aside(("engine", name), lambda: _one(name)) is None:
            raise self.failure(404, f"There is no engine named {name}.")
        self.finish(await self.aside(("stop", name), lambda: _stop(name), _STOPPING))

    @web.authenticated
    @authorized
    async def patch(self, name: str) -> None:
        """`{"keep_for": seconds}`: it is not stopped for idleness or want of owners before then."""
        body = self.body()
        seconds = body.get("keep_for")
        if set(body) != {"keep_for"} or isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise self.failure(400, 'Only {"keep_for": SECONDS} can be changed.')
        try:
            seconds = float(seconds)
        except OverflowError:
            raise self.failure(400, "That is no number of seconds.") from None
        if await self.aside(("engine", name), lambda: _one(name)) is None:
            raise self.failure(404, f"There is no engine named {name}.")
        self.finish(await self.aside(("keep", name, seconds), lambda: _keep(name, seconds)))


class EngineRecord(Handler):
    """`engines/NAME/record`: DELETE forgets an engine that has ended, and ends what is left of it."""

    @web.authenticated
    @authorized
    async def delete(self, name: str) -> None:
        """Dismiss it; 409 while it runs."""
        if await self.aside(("engine", name), lambda: _one(name)) is None:
            raise self.failure(404, f"There is no engine named {name}.")
        await self.aside(("dismiss", name), lambda: _dismiss(name), _STOPPING)
        self.set_status(204)
        self.finish()


def _list() -> dict[str, Any]:
    from llm_magics.runtime.registry import Registry
    from llm_magics.runtime.watching import Watch

    return listed(Watch(Registry(starts_nothing=True)).look())


def _one(name: str) -> dict[str, Any] | None:
    from llm_magics.runtime.registry import Registry

    record = Registry(starts_nothing=True).get(name)
    return None if record is None else shown(record)


def _stop(name: str) -> dict[str, Any]:
    from llm_magics.runtime.stop import stop

    try:
        return shown(stop(name))
    except OSError as error:
        raise LLMMagicsError(
            f"{name} could not be stopped.", why=error.strerror or str(error), then=f"%llm stop {name}"
        ) from error


def _keep(name: str, seconds: float) -> dict[str, Any]:
    from llm_magics.runtime.keep import keep
    from llm_magics.runtime.registry import Registry

    return shown(keep(name, seconds, registry=Registry(starts_nothing=True)))


def _dismiss(name: str) -> None:
    from llm_magics.runtime.stop import dismiss

    dismiss(name)
