"""The engine as the supervisor's child: how it is started, tied to it, reaped and ended with all its kin."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from llm_magics.runtime import processes
from llm_magics.runtime.identity import Identity, of
from llm_magics.runtime.plan import Attempt

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_AGAIN = 1.0  # s until TERM is sent a second time: llama.cpp waits for open streams on the first
_STRAGGLERS = 2.0  # s that workers get to end by themselves once the engine's own process has

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def become_subreaper() -> None:
    """Make orphans below this process its children, so that no daemon of the engine can leave the tree (Linux)."""
    if _libc is not None:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def dies_with_parent() -> Callable[[], None]:
    """What a child runs before its program so that it is killed when this process ends, however it ends (Linux).

    The signal comes when the *thread* that forked ends, so it must be one that lives as long as the process.
    """
    parent = os.getpid()

    def tie() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    return tie


class EngineProcess:
    """One engine, from its start to the end of the last process it started.

    Parameters
    ----------
    attempt
        What to run.
    cwd
        Its working directory.

    Raises
    ------
    OSError
        When it cannot be executed.
    """

    def __init__(self, attempt: Attempt, cwd: str) -> None:
        self._popen = subprocess.Popen(
            attempt.argv,
            env=attempt.env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
            preexec_fn=dies_with_parent(),  # a supervisor has one thread, which is what makes this safe
        )
        assert self._popen.stdout is not None  # noqa: S101 - a pipe was asked for
        self.output = self._popen.stdout.fileno()
        os.set_blocking(self.output, False)
        self.identity = of(self._popen.pid)
        self.exit: int | None = None
        self._termed_at: float | None = None
        self._terms = 0
        self._exited_at: float | None = None

    def reap(self) -> None:
        """Take note of the engine's end, and clear away adopted orphans that ended."""
        if hasattr(os, "waitid"):
            while True:
                try:
                    found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                except ChildProcessError:
                    break
                if found is None or (self.exit is None and found.si_pid == self._popen.pid):
                    break
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(found.si_pid, os.WNOHANG)
        if self.exit is None and (status := self._popen.poll()) is not None:
            self.exit, self._exited_at = status, time.monotonic()

    def tree(self) -> list[Identity]:
        """Every running process of this engine."""
        return processes.descendants(os.getpid())

    def terminate(self) -> None:
        """Ask the engine's group to end; to be called again and again, it knows when to ask a second time."""
        now = time.monotonic()
        if self.exit is not None:
            return
        if self._termed_at is None:
            self._termed_at = now
        if self._terms < 1 or (self._terms < 2 and now - self._termed_at >= _AGAIN):
            self._terms += 1
            # The group is the engine's for as long as the engine is not reaped.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, signal.SIGTERM)

    def overdue(self, grace: float) -> bool:
        """Whether it was asked to end and has used up its grace, s."""
        return self._termed_at is not None and time.monotonic() - self._termed_at >= grace

    def straggling(self) -> bool:
        """Whether workers outlived the engine's own process for too long."""
        return self._exited_at is not None and time.monotonic() - self._exited_at >= _STRAGGLERS

    def kill(self) -> list[Identity]:
        """KILL everything that is left, wherever it has moved.

        Returns
        -------
        list of Identity
            What could not be ended, for example while a driver call hangs.
        """
        left = processes.end(self.tree)
        self.reap()
        return left

    def close(self) -> None:
        """Close our end of the engine's output."""
        if self._popen.stdout is not None:
            self._popen.stdout.close()
