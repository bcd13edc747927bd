"""An OpenAI-compatible server in this process that does with each request what a test tells it to.

It counts one token a word and TEMPLATE for its chat template, so that prompts of an exact length can be checked.
Scripts are functions of a `Talk`: raw bytes on the socket, so that everything a server can get wrong can be said.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

TEMPLATE = 7


@dataclass
class Talk:
    """One streamed request, and the means to answer it."""

    api: ScriptedApi
    sock: socket.socket
    number: int
    head: str
    body: dict[str, Any]
    closed: bool = False

    @property
    def tokens(self) -> int:
        return int(self.body["max_tokens"])

    @property
    def prompt(self) -> str:
        return str(self.body["messages"][-1]["content"] if "messages" in self.body else self.body["prompt"])

    def write(self, data: bytes) -> None:
        self.sock.sendall(data)

    def start(self, kind: str = "text/event-stream") -> None:
        self.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())

    def raw(self, data: bytes) -> None:
        """One HTTP chunk."""
        self.write(b"%x\r\n%s\r\n" % (len(data), data))

    def event(self, document: Any) -> None:
        self.raw(b"data: " + json.dumps(document).encode() + b"\n\n")

    def delta(self, **delta: Any) -> None:
        self.event({"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})

    def role(self) -> None:
        self.delta(role="assistant", content="")

    def words(self, count: int) -> None:
        for _ in range(count):
            self.delta(content=" word")

    def usage(self) -> dict[str, int]:
        return {"prompt_tokens": len(self.prompt.split()) + TEMPLATE, "completion_tokens": self.tokens}

    def finish(self, *, usage: bool = True, done: bool = True) -> None:
        self.event({"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
        if usage:
            self.event({"id": "x", "choices": [], "usage": self.usage()})
        if done:
            self.raw(b"data: [DONE]\n\n")
        self.write(b"0\r\n\r\n")

    def whole(self, status: str, text: str, kind: str = "application/json", more: str = "") -> None:
        data = text.encode()
        self.write(
            f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n{more}\r\n".encode() + data
        )

    def close(self) -> None:
        """Hang up once the script returns."""
        self.closed = True

    def reset(self) -> None:
        """Hang up with a reset, once the script returns."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.closed = True

    def stall(self) -> None:
        """Say nothing until the server is stopped or the client leaves."""
        self.sock.settimeout(0.05)
        while not self.api.over.is_set():
            try:
                if not self.sock.recv(1):
                    return
            except TimeoutError:
                continue
            except OSError:
                return


Script = Callable[[Talk], None]


def well(talk: Talk) -> None:
    """A server as it should be."""
    talk.start()
    talk.role()
    talk.words(talk.tokens)
    talk.finish()


@dataclass
class ScriptedApi:
    """The server; `prompts` holds what was asked, `heads` the headers of every request."""

    script: Script = well
    tls: ssl.SSLContext | None = None
    family: socket.AddressFamily = socket.AF_INET
    tokenizer: Callable[[str], list[int]] | None = None
    usage: bool = True
    models: list[str] = field(default_factory=lambda: ["m"])
    api_key: str | None = None
    pages: dict[str, Callable[[], tuple[str, str]]] = field(default_factory=dict)  # GET path -> status, text
    refuse: Callable[[dict[str, Any]], tuple[str, str] | None] = lambda body: None  # POST body -> status, text
    prompts: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    connections: int = 0
    at: int = 0  # the port that it takes; 0: a free one
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        host = "[::1]" if self.family == socket.AF_INET6 else "localhost" if self.tls else "127.0.0.1"
        return f"http{'s' if self.tls else ''}://{host}:{self.port}"

    @contextmanager
    def running(self) -> Iterator[ScriptedApi]:
        self._listener = socket.create_server(
            ("::1" if self.family == socket.AF_INET6 else "127.0.0.1", self.at), family=self.family, backlog=512
        )
        self.port = self._listener.getsockname()[1]
        self._talking: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        accepting = threading.Thread(target=self._accept, daemon=True)
        accepting.start()
        try:
            yield self
        finally:
            self.die()
            accepting.join(5)
            for thread in self._talking:
                thread.join(5)

    def die(self) -> None:
        """As a killed engine: no listener, every connection gone."""
        self.over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in list(self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._talking.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True)
            self._open.append(sock)
            with sock, sock.makefile("rb") as incoming:
                while self._one(sock, incoming):
                    pass
        except (OSError, ValueError):
            return

    def _one(self, sock: socket.socket, incoming: Any) -> bool:
        lines = []
        while (line := incoming.readline()) not in (b"\r\n", b""):
            lines.append(line.decode("latin-1").strip())
        if not lines:
            return False
        length = next((int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length")), 0)
        body = json.loads(incoming.read(length)) if length else {}
        head = "\n".join(lines)
        self.heads.append(head)
        talk = Talk(self, sock, 0, head, body)
        if self.api_key is not None and f"Authorization: Bearer {self.api_key}" not in head:
            talk.whole("401 Unauthorized", json.dumps({"error": {"message": "wrong key"}}))
        elif lines[0].startswith("GET") and (page := self.pages.get(lines[0].split(" ")[1])) is not None:
            talk.whole(*page())
        elif lines[0].startswith("GET"):
            talk.whole("200 OK", json.dumps({"data": [{"id": name} for name in self.models]}))
        elif "/tokenize" in lines[0]:
            if self.tokenizer is None:
                talk.whole("404 Not Found", "{}")
            else:
                talk.whole("200 OK", json.dumps({"tokens": self.tokenizer(body["content"])}))
        elif (refused := self.refuse(body)) is not None:
            talk.whole(*refused)
        elif not body.get("stream"):
            count = len(self.tokenizer(talk.prompt)) if self.tokenizer else len(talk.prompt.split())
            answer: dict[str, Any] = {"choices": [{"message": {"content": "a"}, "finish_reason": "length"}]}
            if self.usage:
                answer["usage"] = {"prompt_tokens": count + TEMPLATE, "completion_tokens": 1}
            talk.whole("200 OK", json.dumps(answer))
        else:
            talk.number = len(self.prompts)
            self.prompts.append(talk.prompt)
            self.bodies.append(body)
            self.script(talk)
        return not talk.closed


def pause(seconds: float) -> None:
    """A pause of the server's."""
    time.sleep(seconds)
