"""A port of this machine that is a pod's: `kubectl port-forward`, on the loopback interface, for as long as it is held.

kubectl, not the Python client's own: that one copies every byte in a thread of the kernel's process, where it would
compete with what measures. Even so the way leads through the cluster's API server, and its time is in every latency.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from llm_magics.errors import TargetError

TIED = Path(__file__).with_name("tied.py")
_OPEN = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) ->")
_PATIENCE = 30.0  # s until the port must be open


class Forward:
    """An open port-forward to one pod behind a Service.

    Raises
    ------
    TargetError
        When kubectl is not there, ends, or opens no port in time; nothing is left running then.
    """

    def __init__(
        self, namespace: str, what: str, port: int, *, context: str | None = None, patience: float = _PATIENCE
    ) -> None:
        program = shutil.which("kubectl")
        if program is None:
            raise TargetError(
                "kubectl is not installed.", why="a port-forward to a pod goes through it",
                then="install it (kubernetes.io/docs/tasks/tools), or give a URL that this machine reaches",
            )  # fmt: skip
        argv = [
            program, *(["--context", context] if context else []), "--namespace", namespace,
            "port-forward", "--address", "127.0.0.1", what, f":{port}",
        ]  # fmt: skip
        self._said: list[str] = []
        self._opened = threading.Event()
        self.port = 0
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(TIED), *argv],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            start_new_session=True,  # Ctrl-C is for the bench, which closes this one when it has ended
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._opened.wait(patience)
        if not self.port:
            why = "\n".join(self._said[-3:]) or f"no port was opened within {patience:g} s"
            self.close()
            raise TargetError(
                f"No port-forward to {what} in {namespace}.", why=why,
                then=f"`kubectl --namespace {namespace} get pods` says whether one is ready",
            )  # fmt: skip

    def ended(self) -> str | None:
        """Why it is open no more; None while it is."""
        if self._process.poll() is None:
            return None
        return f"the port-forward ended: {self._said[-1] if self._said else 'kubectl said nothing'}"

    def close(self) -> None:
        """End it, whatever state it is in."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(7)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(1)

    def _read(self) -> None:
        for line in self._process.stdout or ():
            if found := _OPEN.search(line):
                self.port = int(found[1])
                self._opened.set()
            elif not line.startswith("Handling connection"):
                self._said = [*self._said[-20:], line.strip()]
        self._opened.set()
