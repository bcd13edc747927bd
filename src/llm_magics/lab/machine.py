"""Routes of the machine: its GPUs and who holds them, and the engines that could be started here."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web

from llm_magics.errors import SpecError
from llm_magics.lab.handler import Handler


class Gpus(Handler):
    """`gpus`: use, memory, power, temperature and the processes; an empty list where there is none."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """The GPUs that this server may see."""
        self.finish({"gpus": await self.aside("gpus", _gpus)})


class Adapters(Handler):
    """`adapters`: the engines there are, and what installs each.

    Whether one is installed is not said: that is found out by asking other interpreters, and no route starts a process.
    """

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """The engines known here."""
        self.finish({"adapters": await self.aside("adapters", _adapters)})


def _gpus() -> list[dict[str, Any]]:
    from llm_magics.runtime.gpus import gpus
    from llm_magics.runtime.registry import Registry

    return [asdict(gpu) for gpu in gpus(Registry(starts_nothing=True))]


def _adapters() -> list[dict[str, Any]]:
    from llm_magics import engines

    found = []
    for key in engines.names():
        with contextlib.suppress(SpecError):  # another package's, and broken
            engine = engines.get(key)
            install = f"llm-magics install {key}" if engine.install.cpu or engine.install.gpu else engine.install.hint
            found.append({"key": key, "title": engine.title, "install": install})
    return found
