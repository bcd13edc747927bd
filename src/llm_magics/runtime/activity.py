"""Whether a server did anything for anybody since the last look: what decides that it is idle.

The engine's own counters say it exactly. An engine without metrics is judged by the CPU time of its processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from llm_magics.engines.base import Engine
from llm_magics.runtime import processes
from llm_magics.runtime.identity import Identity
from llm_magics.runtime.probe import Probe

_BUSY = 0.05  # CPU seconds per second above which an engine without metrics counts as busy
_PATIENCE = 2.0  # s for the page of metrics
_RUNNING = ("running", "waiting")
_COUNTERS = ("prompt_tokens", "output_tokens")


class Activity:
    """Watches one server.

    Parameters
    ----------
    engine, host, port, key
        Whom to ask for metrics.
    tree
        Returns the server's processes.
    """

    def __init__(
        self, engine: Engine, host: str, port: int, key: str | None, tree: Callable[[], Iterable[Identity]]
    ) -> None:
        self._metrics = engine.metrics
        self._probe = Probe(host, port + self._metrics.beside, self._metrics.path, key) if self._metrics else None
        self._tree = tree
        self._counters: tuple[float | None, ...] | None = None
        self._cpu: tuple[float, float] | None = None

    def seen(self) -> bool:
        """Whether there was activity since the last call; the first call only takes the measure."""
        metrics = self._read()
        return self._counted(metrics) if metrics else self._cpu_moved()

    def _read(self) -> dict[str, float]:
        if self._metrics is None or self._probe is None:
            return {}
        from llm_magics.engines.metrics import said

        page = self._probe.fetch(_PATIENCE)
        return said(page, self._metrics.names) if page else {}

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
