"""The GPUs again and again, for somebody who watches: NVML is opened by the first look and stays open until the last.

Opening it takes milliseconds, a question microseconds. While nobody watches it is closed, and a driver can be replaced.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from llm_magics.runtime.gpus import Gpu, library, seen
from llm_magics.runtime.record import Record


class GpuWatch:
    """One pair of eyes on the GPUs; not for several threads at once."""

    def __init__(self) -> None:
        self._open = contextlib.ExitStack()
        self._nvml: Any = None

    def look(self, records: Iterable[Record]) -> list[Gpu]:
        """What `gpus` says, with the servers that there are.

        Where there is none, or the driver fails in the middle, nothing is left open: the next look begins anew, and
        finds a driver that was loaded meanwhile.
        """
        if self._nvml is None:
            self._nvml = self._open.enter_context(library())
        found = [] if self._nvml is None else seen(self._nvml, records)
        if not found:
            self.close()
        return found

    def close(self) -> None:
        """Leave off, until the next look."""
        self._nvml = None
        self._open.close()
