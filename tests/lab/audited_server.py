"""A Jupyter server that writes down what it starts and whom it connects to: `python audited_server.py FILE [OPTIONS]`.

In a process of its own: an audit hook stays for life, and what a library does only once in a process is seen here too.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

STARTS = {"subprocess.Popen", "pty.spawn", "os.fork", "os.forkpty", "os.system"}  # and all of `os.exec`, `os.spawn`, …
BEGIN = ("os.exec", "os.spawn", "os.posix_spawn")
ASKS = {"socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"}


def audit(path: str) -> None:
    """From now on each such event is a line of JSON: its name and its arguments."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in STARTS or event in ASKS or event.startswith(BEGIN):
            os.write(file, json.dumps([event, [repr(each) for each in args]]).encode() + b"\n")

    sys.addaudithook(hook)


if __name__ == "__main__":
    from jupyter_server.serverapp import main

    audit(sys.argv.pop(1))
    main()
