"""A program that the monitor's process runs: tied to it, its output in a private log, its end noticed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from llm_magics.runtime.engine_process import dies_with_parent
from llm_magics.runtime.log_writer import LogWriter

_LOG = 5_000_000  # bytes of one log file; there are two
_READ = 256 * 1024


class Child:
    """One program.

    Parameters
    ----------
    name, argv, env
        What it is called, its command, its whole environment.
    log
        Its log.

    Raises
    ------
    OSError
        When it cannot be executed.
    """

    def __init__(self, name: str, argv: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = LogWriter(log, limit=_LOG)
        self._popen = subprocess.Popen(
            list(argv),
            env=dict(env),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
            preexec_fn=dies_with_parent(),  # forked by the main thread, before there is another
        )
        assert self._popen.stdout is not None  # noqa: S101 - a pipe was asked for
        self.output = self._popen.stdout.fileno()
        os.set_blocking(self.output, False)

    @property
    def exit(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._popen.poll()

    def drain(self) -> bool:
        """Take what it said; False when there will be nothing more."""
        try:
            output = os.read(self.output, _READ)
        except BlockingIOError:
            return True
        self.log.feed(output)
        return bool(output)

    def send(self, signum: int) -> None:
        """Send a signal to its group, if it still runs."""
        if self.exit is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, signum)

    def end(self, grace: float) -> None:
        """TERM, and KILL after so many seconds; its last words go to the log."""
        self.send(signal.SIGTERM)
        deadline = time.monotonic() + grace
        while self.exit is None and time.monotonic() < deadline:
            self.drain()
            time.sleep(0.02)
        self.send(signal.SIGKILL)
        self._popen.wait()
        while self.drain():  # the pipe's other end is closed: this ends
            time.sleep(0.01)
        self.log.close()
