"""Work that may take long or forever (a network file system, a driver), kept off the server's event loop.

Each piece of work has a name; who asks for one that is under way waits for the same answer. So a directory that hangs
costs one thread however many ask, and everybody is told after a moment. The threads are daemons: a hung one does not
hold up the server's end.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable
from typing import Any

PATIENCE = 5.0  # s


class Slow(Exception):  # noqa: N818 - it is no error of anybody's
    """The answer did not come in time; the work goes on, and the next one who asks may get it."""


class Aside:
    """Work under way, by name. To be used on one event loop."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Future[Any]] = {}

    async def __call__(self, name: Hashable, work: Callable[[], Any], patience: float = PATIENCE) -> Any:
        """The answer of some work that runs in a thread.

        Raises
        ------
        Slow
            After `patience` seconds without an answer.
        """
        future = self._under_way.get(name)
        if future is None:
            future = self._under_way[name] = self._start(name, work)
        done, _ = await asyncio.wait([future], timeout=patience)
        if not done:
            raise Slow(f"no answer within {patience:g} s")
        return future.result()

    def _start(self, name: Hashable, work: Callable[[], Any]) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        future.add_done_callback(lambda ended: (self._under_way.pop(name, None), ended.exception()))

        def settle(result: Any, error: BaseException | None) -> None:
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        def run() -> None:
            result, error = None, None
            try:
                result = work()
            except Exception as raised:  # noqa: BLE001 - it is raised where the answer is awaited
                error = raised
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, result, error)

        threading.Thread(target=run, name=f"llm-magics {name}", daemon=True).start()
        return future
