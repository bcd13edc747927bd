"""Where alerts arrive: a small HTTP server on the loopback interface that keeps the last of them in a private file.

Alertmanager posts here; Prometheus reads the monitor's page here. Both show a token, so that no other user of this
machine can make alerts up or read along.
"""

from __future__ import annotations

import hmac
import json
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from llm_magics.runtime.private_files import write_whole

KEPT = 200  # alerts
_LARGEST = 2 * 2**20  # bytes of one message


def received(path: Path) -> list[dict[str, Any]]:
    """What has arrived, oldest first; [] where nothing has, or nothing can be read.

    Each has `status` (`firing`, `resolved`), `alert`, `labels`, `annotations`, `starts`, `ends` (RFC 3339, "" while it
    fires) and `at` (s since the epoch).
    """
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return []
    return found if isinstance(found, list) else []


class Inbox:
    """The server.

    Parameters
    ----------
    port
        Of the loopback interface.
    token
        What callers must show.
    path
        The file of alerts.
    page
        Makes the page for Prometheus.

    Raises
    ------
    OSError
        When the port is taken.
    """

    def __init__(self, port: int, token: str, path: Path, page: Callable[[], str]) -> None:
        self._token, self._path, self._page = token, path, page
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (_Handler,), {"inbox": self}))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="inbox", daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def take(self, message: Mapping[str, Any]) -> None:
        """Keep the alerts of one message of Alertmanager's.

        It tells the whole group again whenever one of it changes, and all that fires every few hours: what has arrived
        is no news.

        Raises
        ------
        OSError
            When they cannot be written; the file is then as it was.
        """
        fresh = [_alert(each) for each in message.get("alerts", ()) if isinstance(each, dict)]
        with self._lock:
            kept = received(self._path)
            known = set(map(_identity, kept))
            if news := [each for each in fresh if _identity(each) not in known]:
                write_whole(self._path, json.dumps([*kept, *news][-KEPT:], indent=1))

    def page(self) -> bytes:
        """The page for Prometheus."""
        return self._page().encode()

    def knows(self, shown: str) -> bool:
        """Whether an `Authorization` header shows the token."""
        return hmac.compare_digest(shown.encode("utf-8", "replace"), f"Bearer {self._token}".encode())


class _Handler(BaseHTTPRequestHandler):
    timeout = 10  # s; a caller that says nothing is let go
    inbox: Inbox

    def do_GET(self) -> None:
        if self._allowed():
            if self.path == "/metrics":
                self._answer(200, self.inbox.page(), "text/plain; version=0.0.4; charset=utf-8")
            else:
                self._answer(404)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not self._allowed():
            return
        if self.path != "/alerts" or not length.isdigit() or int(length) > _LARGEST:
            self._answer(400)
            return
        try:
            message = json.loads(self.rfile.read(int(length)))
            self.inbox.take(message if isinstance(message, dict) else {})
        except ValueError:
            self._answer(400)
        except OSError:
            self._answer(507)  # the disk is full: Alertmanager tries again
        else:
            self._answer(200)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's own name
        """Nothing: a line for each scrape helps nobody."""

    def _allowed(self) -> bool:
        if self.inbox.knows(self.headers.get("Authorization", "")):
            return True
        self._answer(401)
        return False

    def _answer(self, status: int, body: bytes = b"", kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _identity(alert: Mapping[str, Any]) -> tuple[Any, ...]:
    return alert["status"], alert["starts"], *sorted(alert["labels"].items())


def _alert(data: Mapping[str, Any]) -> dict[str, Any]:
    said = {str(key): str(value) for key, value in (data.get("labels") or {}).items()}
    resolved = data.get("status") == "resolved"
    return {
        "status": "resolved" if resolved else "firing",
        "alert": said.get("alertname", ""),
        "labels": said,
        "annotations": {str(key): str(value) for key, value in (data.get("annotations") or {}).items()},
        "starts": str(data.get("startsAt", "")),
        "ends": str(data.get("endsAt", "")) if resolved else "",
        "at": time.time(),
    }
