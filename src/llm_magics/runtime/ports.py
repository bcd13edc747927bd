"""Ports: a free one, who holds a taken one, and whether the server that answers is ours.

The last question matters for safety and for truth: another program that happens to listen on the port would answer the
readiness probe, and would be sent the API key. On Linux the listening socket is traced to its processes.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

from llm_magics.runtime import processes

_LISTEN = "0A"


def free_port(host: str, taken: Collection[int] = ()) -> int:
    """A port on which nobody listens, not one of `taken`."""
    while True:
        with _socket(host) as sock:
            sock.bind((host, 0))
            port = int(sock.getsockname()[1])
        if port not in taken:
            return port


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen on a port now."""
    with _socket(host) as sock:
        # As servers do: a connection that was closed a moment ago does not make a port taken.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
            sock.listen(1)
        except OSError:
            return False
        return True


def holder(port: int) -> str:
    """Who listens on a port, as words for a person."""
    pid = _listener(port)
    if pid is None:
        return "a process that this user cannot look into"
    return f"{processes.name_of(pid) or 'a process'} (pid {pid})"


def held_by(port: int, pids: Iterable[int]) -> bool | None:
    """Whether one of some processes listens on a port; None where this system does not tell."""
    inodes = _listening(port)
    if not inodes:
        return None
    answers = [_holds(pid, inodes) for pid in pids]
    return True if True in answers else None if None in answers else False


def _socket(host: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)


def _listener(port: int) -> int | None:
    if sys.platform == "linux":
        inodes = _listening(port)
        return next((pid for pid in processes.all_pids() if inodes and _holds(pid, inodes)), None)
    else:  # noqa: RET505 - mypy checks the branch of its own platform only
        import psutil

        with contextlib.suppress(psutil.Error):
            for connection in psutil.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
                    return connection.pid
        return None


def _listening(port: int) -> set[str]:
    """The listening sockets of a port, by the names that links in `/proc/PID/fd` show."""
    found = set()
    for table in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rsplit(":", 1)[1], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    return found


def _holds(pid: int, inodes: set[str]) -> bool | None:
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(entry.path) in inodes:  # noqa: PTH115 - thousands of links
                    return True
    except PermissionError:
        return None
    except OSError:
        return False
    return False
