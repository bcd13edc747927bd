"""Whether a server did anything for anybody since the last look: what decides that it is idle.

The engine's own counters say it exactly. An engine without metrics is judged by the CPU time of its processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from llm_magics.engines.base import Engine
from llm_magics.runtime import processes
from llm_magics.runtime.identity import Identity

_BUSY = 0.05  # CPU seconds per second above which an engine without metrics counts as busy
_RUNNING = ("running", "waiting")
_COUNTERS = ("prompt_tokens", "output_tokens")


class Activity:
    """Watches one server.

    Parameters
    ----------
    engine, url, key
        Whom to ask for metrics.
    tree
        Returns the server's processes.
    """

    def __init__(self, engine: Engine, url: str, key: str | None, tree: Callable[[], Iterable[Identity]]) -> None:
        self._engine = engine
        self._url = url
        self._key = key
        self._tree = tree
        self._counters: tuple[float | None, ...] | None = None
        self._cpu: tuple[float, float] | None = None

    def seen(self) -> bool:
        """Whether there was activity since the last call; the first call only takes the measure."""
        metrics = self._metrics()
        return self._cpu_moved() if metrics is None else self._counted(metrics)

    def _metrics(self) -> dict[str, float] | None:
        if self._engine.metrics is None:
            return None
        from llm_magics.engines.metrics import read

        try:
            return dict(read(self._url, self._engine, self._key))
        except Exception:  # noqa: BLE001 - whatever is wrong with its metrics, the server goes on and CPU time decides
            return None

    def _counted(self, metrics: dict[str, float]) -> bool:
        counters = tuple(metrics.get(name) for name in _COUNTERS)
        moved = self._counters is not None and counters != self._counters
        self._counters = counters
        return moved or any(metrics.get(name, 0) > 0 for name in _RUNNING)

    def _cpu_moved(self) -> bool:
        now, used = time.monotonic(), processes.cpu_seconds(self._tree())
        before, self._cpu = self._cpu, (now, used)
        if before is None or now <= before[0]:
            return False
        return (used - before[1]) / (now - before[0]) > _BUSY
