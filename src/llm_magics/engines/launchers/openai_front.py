"""An OpenAI-compatible front for `generation.Batches`: what DeepSpeed, a library, lacks to be served and measured.

Chat and plain completions, streamed or whole, with usage and [DONE]; the list of models; health; metrics in
Prometheus' text format. Standard library only, so that it adds nothing to what the engine's environment must hold.
Errors are OpenAI's: `{"error": {"message", "type", "code"}}`. Bound to loopback; the key comes from the environment.
"""

from __future__ import annotations

import hmac
import json
import queue
import select
import socket
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from generation import Ask, Batches, Piece
from openai_body import Refused, asked, tokens, usage_asked

LARGEST = 64 * 2**20  # bytes of a request
GAUGES = ("requests_running", "requests_waiting")


class Front(ThreadingHTTPServer):
    """The server: a thread for each connection; generation has its own.

    Parameters
    ----------
    prefix
        What the names of metrics begin with.
    context
        Longest prompt and answer together, tokens.
    key
        What a request must carry as bearer token; None lets everybody in.
    """

    daemon_threads = True
    request_queue_size = 512

    def __init__(
        self, address: tuple[str, int], batches: Batches, *, name: str, prefix: str, context: int, key: str | None
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.batches, self.name, self.prefix, self.context, self.key = batches, name, prefix, context, key
        super().__init__(address, Handler)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Front
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 0
    ROUTES: ClassVar = {
        "/v1/chat/completions": "chat.completion", "/v1/completions": "text_completion",
        "/tokenize": "tokenize",
    }  # fmt: skip

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/health":
            self._answer(200, b"", "text/plain")
        elif path == "/metrics":
            self._answer(200, self._metrics().encode(), "text/plain; version=0.0.4")
        elif path != "/v1/models":
            self._fail(Refused(404, f"There is no {path}."))
        elif self._known():
            model = {"id": self.server.name, "object": "model", "created": 0, "owned_by": self.server.prefix}
            self._json(200, {"object": "list", "data": [{**model, "max_model_len": self.server.context}]})

    def do_POST(self) -> None:
        kind = self.ROUTES.get(self.path.partition("?")[0])
        size = self.headers.get("Content-Length", "")
        if not size.isdigit() or int(size) > LARGEST:
            self.close_connection = True
            self._fail(Refused(413 if size.isdigit() else 411, "A request needs a Content-Length of at most 64 MiB."))
            return
        data = self.rfile.read(int(size))
        try:
            if kind is None:
                raise Refused(404, f"There is no {self.path}.")
            if not self._known():
                return
            body = _read(data)
            if kind == "tokenize":
                ids = tokens(body, self.server.batches.tokenizer)
                self._json(200, {"tokens": ids, "count": len(ids), "max_model_len": self.server.context})
                return
            self._complete(kind, body)
        except Refused as error:
            self._fail(error)
        except OSError:
            self.close_connection = True

    def _complete(self, kind: str, body: dict[str, Any]) -> None:
        server = self.server
        ask = asked(
            kind, body, name=server.name, context=server.context, tokenizer=server.batches.tokenizer,
            vocabulary=server.batches.vocabulary,
        )  # fmt: skip
        usage = usage_asked(body)
        server.batches.submit(ask)
        frame = {
            "id": f"{'chatcmpl' if kind.startswith('chat') else 'cmpl'}-{uuid.uuid4().hex}",
            "created": int(time.time()), "model": server.name,
        }  # fmt: skip
        try:
            if body.get("stream"):
                self._stream(kind, ask, frame, usage=usage)
            else:
                self._whole(kind, ask, frame)
        finally:
            ask.gone.set()

    def _whole(self, kind: str, ask: Ask, frame: dict[str, Any]) -> None:
        text, tokens, finish = "", 0, None
        for piece in self._pieces(ask):
            text, tokens, finish = text + piece.text, tokens + piece.tokens, piece.finish
        said = {"message": {"role": "assistant", "content": text}} if kind == "chat.completion" else {"text": text}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": finish}
        self._json(200, {**frame, "object": kind, "choices": [choice], "usage": _usage(ask, tokens)})

    def _stream(self, kind: str, ask: Ask, frame: dict[str, Any], *, usage: bool) -> None:
        chat = kind == "chat.completion"
        frame = {**frame, "object": "chat.completion.chunk" if chat else kind}
        tokens, begun = 0, False
        try:
            for piece in self._pieces(ask):
                if not begun:
                    self._begin()
                    begun = True
                    if chat:
                        self._event({**frame, "choices": [_choice({"delta": {"role": "assistant", "content": ""}})]})
                tokens += piece.tokens
                said = {"delta": {"content": piece.text} if piece.text else {}} if chat else {"text": piece.text}
                self._event({**frame, "choices": [_choice(said, piece.finish)]})
        except Refused as error:
            if not begun:
                raise
            self._event({"error": _error(error)})
        else:
            if usage:
                self._event({**frame, "choices": [], "usage": _usage(ask, tokens)})
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _pieces(self, ask: Ask) -> Iterator[Piece]:
        """What is generated, as it comes; ends the request when its client has gone while it waits."""
        while True:
            try:
                piece = ask.out.get(timeout=0.5)
            except queue.Empty:
                if self._left():
                    raise ConnectionResetError from None
                continue
            if piece.error is not None:
                raise Refused(500, piece.error)
            yield piece
            if piece.finish:
                return

    def _left(self) -> bool:
        """Whether the client closed its connection."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

    def _known(self) -> bool:
        """Whether the request carries the key; answers 401 when it does not."""
        if self.server.key is None:
            return True
        said = self.headers.get("Authorization", "").removeprefix("Bearer ").encode("utf-8", "replace")
        if hmac.compare_digest(said, self.server.key.encode()):
            return True
        self._fail(Refused(401, "The API key is missing or wrong."))
        return False

    def _metrics(self) -> str:
        lines = []
        for name, value in self.server.batches.metrics().items():
            full = f"{self.server.prefix}:{name}"
            lines += [f"# TYPE {full} {'gauge' if name in GAUGES else 'counter'}", f"{full} {value}"]
        return "\n".join(lines) + "\n"

    def _begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _event(self, document: dict[str, Any]) -> None:
        self._chunk(b"data: " + json.dumps(document).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _json(self, status: int, document: dict[str, Any]) -> None:
        self._answer(status, json.dumps(document).encode(), "application/json")

    def _fail(self, error: Refused) -> None:
        self._json(error.status, {"error": _error(error)})

    def _answer(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: a line for every request of a load test would be the load."""


def _read(data: bytes) -> dict[str, Any]:
    """A body as JSON says it; what Python's reader takes beyond JSON (NaN, Infinity) is checked field by field."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"The request is not JSON: {str(error)[:200]}") from None
    if not isinstance(body, dict):
        raise Refused(400, "The request is no JSON object.")
    return body


def _choice(said: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, **said, "logprobs": None, "finish_reason": finish}


def _usage(ask: Ask, tokens: int) -> dict[str, int]:
    return {"prompt_tokens": len(ask.ids), "completion_tokens": tokens, "total_tokens": len(ask.ids) + tokens}


def _error(error: Refused) -> dict[str, Any]:
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    return {"message": str(error), "type": kind, "code": error.status}
