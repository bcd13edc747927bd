"""A server seen from inside while it takes load: its own metrics, its processes, its GPUs, the machine it is on.

`load` knows no servers and `runtime` no load, so the two meet here: the load generator gets one callable that says
everything of this moment. It runs in a thread of the caller, never in the process that measures.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_magics.engines.base import Engine
    from llm_magics.runtime.gpu_meter import GpuMeter
    from llm_magics.runtime.machine_meter import MachineMeter
    from llm_magics.runtime.package_energy import PackageMeter
    from llm_magics.runtime.record import Record
    from llm_magics.runtime.tree_meter import TreeMeter

_REST = 25.0  # times as long as the last look at the server's page took, until the next: 4 % of its attention
_LONGEST = 2.0  # s between two looks at the page, however slow it is


class Watch:
    """Reads one server; a context manager, open while it is measured.

    Parameters
    ----------
    record, engine, key
        The server, its adapter, its API key.

    Attributes
    ----------
    gpus
        The GPUs it uses, by `nvidia-smi`'s numbers; known once it is open.
    exports
        Portable names that its engine has on its page of metrics, seen or not: a short run may end before it is.
    """

    def __init__(
        self, record: Record, engine: Engine, key: str | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._record, self._engine, self._key, self._clock = record, engine, key, clock
        self.gpus: list[int] = list(record.gpus)
        self.exports: list[str] = sorted(engine.metrics.names) if engine.metrics else []
        self._page_at = float("-inf")
        self._tree: TreeMeter | None = None
        self._cards: GpuMeter | None = None
        self._package: PackageMeter | None = None
        self._machine: MachineMeter | None = None

    def __enter__(self) -> Watch:
        from llm_magics.runtime import gpus
        from llm_magics.runtime.gpu_meter import GpuMeter, held_by
        from llm_magics.runtime.machine_meter import MachineMeter
        from llm_magics.runtime.package_energy import PackageMeter
        from llm_magics.runtime.tree_meter import TreeMeter

        self.gpus = held_by(self._record.name, self._record.gpus, gpus.gpus())
        self._page_at = float("-inf")
        self._tree, self._package, self._machine = TreeMeter(self._record), PackageMeter(), MachineMeter()
        self._cards = GpuMeter(self.gpus).__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._cards is not None:
            self._cards.__exit__()
        self._tree = self._cards = self._package = self._machine = None

    def read(self) -> dict[str, float]:
        """Everything of this moment, under portable names; what cannot be seen is absent."""
        found = self._page()
        for meter in (self._tree, self._cards, self._package, self._machine):
            if meter is not None:
                found |= meter.read()
        return found

    def _page(self) -> dict[str, float]:
        """The server's own metrics, where it is time to ask again: vLLM's page has 55 kB, and it serves meanwhile."""
        from llm_magics.engines import metrics

        began = self._clock()
        if began < self._page_at:
            return {}
        found = dict(metrics.read(self._record.url, self._engine, self._key))
        self._page_at = self._clock() + min(_LONGEST, _REST * (self._clock() - began))
        return found
