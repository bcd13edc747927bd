"""A supervisor as the child of the process that launches it: started detached, told its plan, reaped when it ends."""

from __future__ import annotations

import contextlib
import os
import site
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

from llm_magics.runtime.identity import Identity, of
from llm_magics.runtime.plan import Plan
from llm_magics.runtime.private_files import open_log
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry

_NEEDED = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


class SupervisorProcess:
    """Starts the supervisor's Python, which waits for its plan while the launch goes on.

    Parameters
    ----------
    registry, name
        Where its record will be; its log starts afresh.
    """

    def __init__(self, registry: Registry, name: str) -> None:
        self._registry = registry
        log = open_log(registry.log_path(name), fresh=True)
        registry.log_path(name).with_name(f"{name}.log.1").unlink(missing_ok=True)
        try:
            self._popen = subprocess.Popen(
                [sys.executable, "-P", "-m", "llm_magics.runtime.supervisor", name],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,  # its own tracebacks, should there be any
                start_new_session=True,  # an interrupt of the kernel, or its end, is not the server's
                env=own_environment(),
                cwd="/",
            )
        finally:
            os.close(log)

    @property
    def identity(self) -> Identity | None:
        """Who it is; None when it has ended already."""
        return of(self._popen.pid)

    def tell(self, plan: Plan, record: Record) -> None:
        """Hand over the plan; from here on the supervisor is on its own, and a thread waits for its end."""
        assert self._popen.stdin is not None  # noqa: S101 - a pipe was asked for
        # It may have died already: whoever waits for the server sees that.
        with contextlib.suppress(BrokenPipeError), self._popen.stdin as pipe:
            pipe.write(plan.dump())
        threading.Thread(target=self._reap, args=(record,), name="llm-magics-reaper", daemon=True).start()

    def abandon(self) -> None:
        """End it before it was told anything."""
        self._popen.kill()
        self._popen.communicate()

    def _reap(self, record: Record) -> None:
        """Leave no zombie; do what a killed supervisor could not: reading its record sweeps what it left behind."""
        if self._popen.wait() != 0:
            self._registry.get(record.name)
            with contextlib.suppress(OSError):
                self._registry.forget_key(record)


def own_environment() -> dict[str, str]:
    """Just enough to import this package; where it is not installed, from where this process has it."""
    environment = {key: os.environ[key] for key in _NEEDED if key in os.environ}
    home = Path(__file__).parents[2]
    if str(home) not in (sysconfig.get_path("purelib"), site.getusersitepackages()):
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [environment.get("PYTHONPATH"), str(home)]))
    return environment
