"""Telling a hub that this server is in use while a bench runs, and at no other time.

A hub culls servers that nobody uses; hours of measuring look like nobody. An open sidebar is no use (see `handler`).
"""

from __future__ import annotations

from typing import Any

from jupyter_server._tz import utcnow
from tornado.ioloop import PeriodicCallback

from llm_magics.lab.aside import Aside, Slow

PAUSE = 30.0  # s between two looks
LONGEST = 24 * 3600.0  # s after which a bench does not count any more: something hangs


class Busy:
    """Looks now and then whether anything is measured.

    Parameters
    ----------
    settings
        The server's: `last_activity_times` is where Jupyter takes activity from.
    """

    def __init__(self, settings: dict[str, Any], aside: Aside) -> None:
        self._settings = settings
        self._aside = aside
        self._callback = PeriodicCallback(self.look, PAUSE * 1000)

    def start(self) -> None:
        """Begin."""
        self._callback.start()

    async def look(self) -> None:
        """One look."""
        try:
            busy = await self._aside("benches", _measuring)
        except (Slow, OSError):
            return
        if busy:
            self._settings.setdefault("last_activity_times", {})["llm-magics"] = utcnow()


def _measuring() -> bool:
    from llm_magics.paths import spool_dir
    from llm_magics.results.spool import under_way

    return under_way(spool_dir(), LONGEST)
