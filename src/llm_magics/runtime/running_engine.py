"""One attempt to run the engine: its process, what it says, whether it is ready, and whether its port was another's.

The supervisor decides what follows from that; here is what it looks at, inside its loop.
"""

from __future__ import annotations

import contextlib
import os
import selectors
from collections.abc import Callable

from llm_magics.engines import cluster_messages
from llm_magics.engines.base import Engine
from llm_magics.runtime import ports
from llm_magics.runtime.engine_process import EngineProcess
from llm_magics.runtime.identity import Identity
from llm_magics.runtime.log_writer import LogWriter
from llm_magics.runtime.plan import Attempt
from llm_magics.runtime.readiness import Readiness

_READ = 256 * 1024  # bytes of output taken at once


class RunningEngine:
    """An engine that was started.

    Parameters
    ----------
    adapter, attempt, cwd, key
        What is run where, and the key that it is asked with.
    selector
        The supervisor's loop.
    log
        Where its output goes.
    said
        Is given each line of it.

    Raises
    ------
    OSError
        When it cannot be executed.
    """

    def __init__(
        self,
        adapter: Engine,
        attempt: Attempt,
        cwd: str,
        key: str | None,
        *,
        selector: selectors.BaseSelector,
        log: LogWriter,
        said: Callable[[str], None],
    ) -> None:
        self.attempt = attempt
        self.process = EngineProcess(attempt, cwd)
        self._selector = selector
        self._log = log
        self._said = said
        self._grace = adapter.grace + attempt.margin
        self._taken = False  # its port, says a cluster's node
        selector.register(self.process.output, selectors.EVENT_READ, self._drain)
        path = attempt.ready_path or adapter.ready_path
        self.readiness = Readiness(selector, attempt, path, key, self.process.tree)

    @property
    def ended(self) -> bool:
        """Whether its own process has; workers of it may still be there."""
        return self.process.exit is not None

    def tree(self) -> list[Identity]:
        """Every running process of it."""
        return self.process.tree()

    def insist(self) -> None:
        """End it in order, and by force when it has had its grace; to be called again and again."""
        self.process.terminate()
        if self.process.overdue(self._grace):
            self.process.kill()

    def lingers(self) -> bool:
        """Whether something of it is left that may still end by itself."""
        return bool(self.tree()) and not self.process.straggling() and not self.process.overdue(self._grace)

    def port_was_taken(self) -> bool:
        """Whether another program has the port that it was to listen at."""
        if self.attempt.node is not None:
            return self._taken
        return not ports.is_free(self.attempt.host, self.attempt.port)

    def hear(self) -> None:
        """Take what it has said by now."""
        if self.process.output in self._selector.get_map():
            self._drain()

    def drain_rest(self) -> None:
        """Everything that wrote to the pipe is gone, so what is in it now is all there will be."""
        with contextlib.suppress(OSError):
            while output := os.read(self.process.output, _READ):
                self._log.feed(output)
        self._log.end_line()  # why it ended may be in a last line that it did not live to break
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(self.process.output)

    def _drain(self) -> None:
        """Take what it said."""
        try:
            output = os.read(self.process.output, _READ)
        except BlockingIOError:
            return
        if not output:
            self._selector.unregister(self.process.output)
            return
        for line in self._log.feed(output):
            if self.attempt.node is not None:
                self._from_node(line)
            self._said(line)

    def _from_node(self, line: str) -> None:
        """What our client on a cluster says for this process, and not for people alone."""
        if line.startswith(cluster_messages.LISTENS):
            self.readiness.announced = True
        self._taken = self._taken or line.startswith(cluster_messages.TAKEN)
