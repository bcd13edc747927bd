"""Asking an engine whether it is ready, without ever waiting for it.

A plain HTTP GET over a socket: the supervisor's loop must go on draining the engine's output while the answer takes its
time, and `http.client` would bring the ssl module into a process that has to stay small.
"""

from __future__ import annotations

import select
import socket
import time

_PATIENCE = 5.0  # s for one answer
_LARGEST = 8 * 2**20  # bytes of an answer


class Probe:
    """One question at a time to one server.

    Parameters
    ----------
    host, port, path
        What is asked: `GET path`.
    key
        API key, sent as a bearer token; None sends none.
    """

    def __init__(self, host: str, port: int, path: str, key: str | None) -> None:
        self._address = (host, port)
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        shown = f"[{host}]" if ":" in host else host
        self._request = (
            # 1.0, because its answers come in one piece and end with the connection.
            f"GET {path} HTTP/1.0\r\nHost: {shown}:{port}\r\nAccept: */*\r\nConnection: close\r\n"
            + (f"Authorization: Bearer {key}\r\n" if key else "")
            + "\r\n"
        ).encode()
        self._answer = b""
        self._deadline = 0.0
        self.socket: socket.socket | None = None

    @property
    def busy(self) -> bool:
        """Whether a question is on its way."""
        return self.socket is not None

    def connect(self) -> bool:
        """Connect to the server; False when nobody listens. On loopback this takes no time worth waiting for."""
        self.close()
        sock = socket.socket(self._family, socket.SOCK_STREAM)
        sock.settimeout(0.2)
        try:
            sock.connect(self._address)
        except OSError:
            sock.close()
            return False
        self.socket = sock
        return True

    def ask(self) -> None:
        """Send the question on the open connection."""
        assert self.socket is not None  # noqa: S101 - `connect` came first
        self._answer, self._deadline = b"", time.monotonic() + _PATIENCE
        try:
            self.socket.sendall(self._request)
            self.socket.setblocking(False)
        except OSError:
            self.close()

    def status(self) -> int | None:
        """The HTTP status once the answer is there; 0 when there will be none; None while it is on its way."""
        if self.socket is None:
            return 0
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return 0 if time.monotonic() > self._deadline else None
        except OSError:
            return 0
        self._answer += data
        if data and b"\r\n\r\n" not in self._answer:
            return None
        parts = self._answer.split(b" ", 2)
        return int(parts[1]) if len(parts) == 3 and parts[0].startswith(b"HTTP/") and parts[1].isdigit() else 0

    def fetch(self, seconds: float) -> str | None:
        """The whole answer's text, waited for; None when it is not there in time or no success.

        The one question here that waits: it is asked of a server that is ready, once in a while, and answered in
        milliseconds. The text keeps the headers: they are lines that no metric looks like.
        """
        deadline = time.monotonic() + seconds
        if not self.connect():
            return None
        self.ask()
        try:
            while self.socket is not None and len(self._answer) < _LARGEST:
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                    return None
                data = self.socket.recv(65536)
                if not data:
                    break
                self._answer += data
        except OSError:
            return None
        finally:
            self.close()
        success = self._answer.split(b" ", 2)[1:2] == [b"200"]
        return self._answer.decode("utf-8", "replace") if success else None

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None
