"""The end of a monitor: everything that its start made is gone, or the error says what is not."""

from __future__ import annotations

import shutil
import signal
import time

from llm_magics.errors import LLMMagicsError
from llm_magics.monitor.home import Home, State
from llm_magics.runtime import containers, processes
from llm_magics.runtime.identity import Identity


def end(home: Home, state: State, timeout: float = 30.0) -> None:
    """End every process of a monitor, its containers, and what its start made.

    Parameters
    ----------
    timeout
        s that it may take to end in order; then it is killed.

    Raises
    ------
    LLMMagicsError
        When a process cannot be ended.
    """
    if state.alive:
        own = Identity.from_json(state.process)
        processes.send(own, signal.SIGTERM)
        deadline = time.monotonic() + timeout
        while own.alive() and time.monotonic() < deadline:
            time.sleep(0.02)
    left = processes.end(lambda: processes.marked(state.id))
    for container in state.containers:
        if shutil.which(container.get("tool", "")):
            containers.remove(container)
    if left:
        pids = ", ".join(str(process.pid) for process in left)
        raise LLMMagicsError(
            "The monitor could not be stopped.",
            why=f"processes {pids} do not end, not even when killed",
            then=f"look at them with: ps -fp {pids.replace(' ', '')}",
        )
    home.forget()
