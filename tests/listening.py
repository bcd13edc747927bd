"""A small server of a test's own on loopback, for as long as it is needed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer


class Quiet(BaseHTTPRequestHandler):
    """A handler that prints nothing, and says a whole answer at once."""

    def say(self, body: bytes | str, status: int = 200, kind: str = "text/plain") -> None:
        """An answer of known length."""
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def listening(
    handler: type[BaseHTTPRequestHandler], *, port: int = 0, kind: type[HTTPServer] = ThreadingHTTPServer
) -> Iterator[HTTPServer]:
    """The server of a handler; nothing of it is left afterwards."""
    with kind(("127.0.0.1", port), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
