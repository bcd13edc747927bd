"""A server whose latencies are known, in a process of its own: the truth against which this machine's client is held.

It answers OpenAI's chat API with a chunk for each token on an absolute schedule (a late one does not push the next
back), stamps its own sends and tells at `GET /truth` what it really did, so that the client is never blamed for the
server's lateness. In Python, because users have no compiler; `benchmarks/paced_server.c` is the same for benchmarks.

    python -m llm_magics.load.paced TTFT_MS ITL_MS    # prints its port
"""

from __future__ import annotations

import gc
import heapq
import json
import re
import select
import socket
import sys
import time
from array import array
from typing import Any

from llm_magics.load.alarm import TimerFd

_clock = time.monotonic_ns
_TOKENS = re.compile(rb'"max_(?:completion_)?tokens"\s*:\s*(\d+)')
_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_IDLE = 100_000_000  # ns
_AT_ONCE = 64  # chunks between two looks at the network


def _event(choices: str, usage: str = "") -> bytes:
    text = f'data: {{"id":"paced-0123456789","object":"chat.completion.chunk","created":1790000000,"model":"paced","choices":[{choices}]{usage}}}\n\n'  # noqa: E501
    return b"%x\r\n%s\r\n" % (len(text), text.encode())


_ROLE = _event('{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}')
_TEXT = _event('{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}')
_STOP = _event('{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}')
_DONE = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


class _Stream:
    """A connection, and the answer that is being spoken on it."""

    __slots__ = ("arrived", "first", "got", "last", "open", "prompt", "sent", "sock", "total")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.got = b""
        self.open = True
        self.total = self.sent = self.prompt = 0
        self.arrived = self.first = self.last = 0


class Paced:
    """The server. `ttft` and `itl` in ns."""

    def __init__(self, ttft: int, itl: int) -> None:
        self.ttft, self.itl = ttft, itl
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.listener.setblocking(False)
        self.timer = TimerFd() if sys.platform == "linux" else None
        self.poller: Any = select.epoll() if self.timer is not None else select.poll()
        self.poller.register(self.listener.fileno(), select.POLLIN)
        if self.timer is not None:
            self.poller.register(self.timer.descriptor, select.POLLIN)
        self.streams: dict[int, _Stream] = {}
        self.waiting: list[tuple[int, int, _Stream]] = []  # (due, number, stream), soonest first
        self.number = 0
        self.active = self.most = 0
        self.late = array("q")
        self.ttfts = array("q")
        self.tpots = array("d")

    def serve(self) -> None:
        """Serve until stdin's other end, the caller, is gone."""
        self.poller.register(0, select.POLLIN | select.POLLHUP)
        while True:
            now = _clock()
            for _ in range(_AT_ONCE):
                if not self.waiting or self.waiting[0][0] > now:
                    break
                due, _, stream = heapq.heappop(self.waiting)
                if stream.open:
                    self._speak(stream, due)
                    now = _clock()
            for descriptor, _ in self._ready():
                if descriptor == 0:
                    return
                if descriptor == self.listener.fileno():
                    self._welcome()
                elif (asking := self.streams.get(descriptor)) is not None:
                    self._hear(asking)

    def _ready(self) -> list[tuple[int, int]]:
        """What the network has, or what is due: whichever comes first wakes the server, within some 50 µs."""
        found: list[tuple[int, int]]
        due = self.waiting[0][0] if self.waiting else _clock() + _IDLE
        if self.timer is not None:
            if due > _clock():
                self.timer.set(due)
                found = self.poller.poll()
                self.timer.took()
            else:
                found = self.poller.poll(0)
            return [(descriptor, events) for descriptor, events in found if descriptor != self.timer.descriptor]
        left = (due - _clock()) // 1_000_000
        found = self.poller.poll(max(0, left))
        return found

    def _welcome(self) -> None:
        try:
            while True:
                sock, _ = self.listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.streams[sock.fileno()] = _Stream(sock)
                self.poller.register(sock.fileno(), select.POLLIN)
        except BlockingIOError:
            return

    def _hear(self, stream: _Stream) -> None:
        try:
            data = stream.sock.recv(262_144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(stream)
            return
        stream.arrived = _clock()
        stream.got += data
        end = stream.got.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(stream.got, 0, end)
        whole = end + 4 + (int(length[1]) if length else 0)
        if len(stream.got) < whole:
            return
        request, stream.got = stream.got[:whole], stream.got[whole:]
        if request.startswith(b"POST") and b'"stream":true' in request.replace(b" ", b""):
            self._ask(stream, request, end)
        else:
            self._answer(stream, self._document(request))

    def _ask(self, stream: _Stream, request: bytes, end: int) -> None:
        tokens = _TOKENS.search(request, end)
        stream.total, stream.sent = int(tokens[1]) if tokens else 16, 0
        stream.prompt = request.count(b" ", request.find(b'"content"', end)) + 1
        self.active += 1
        self.most = max(self.most, self.active)
        self._wait(stream, stream.arrived + self.ttft)

    def _wait(self, stream: _Stream, due: int) -> None:
        self.number += 1
        heapq.heappush(self.waiting, (due, self.number, stream))

    def _speak(self, stream: _Stream, due: int) -> None:
        """The next chunk; after the last one the finish, usage and [DONE]."""
        data = _TEXT if stream.sent else _HEAD + _ROLE + _TEXT
        stream.sent += 1
        ended = stream.sent >= stream.total
        if ended:
            total = stream.total
            usage = f',"usage":{{"prompt_tokens":{stream.prompt},"completion_tokens":{total},"total_tokens":{stream.prompt + total}}}'  # noqa: E501
            data += _STOP + _event("", usage) + _DONE
        now = _clock()
        self.late.append(now - due)
        if stream.sent == 1:
            stream.first = now
        stream.last = now
        try:
            taken = stream.sock.send(data)
        except OSError:  # gone, or so far behind that its buffer is full: of no use to a measurement
            taken = 0
        if taken < len(data):
            self.active -= 1
            self._drop(stream)
            return
        if not ended:
            self._wait(stream, due + self.itl)
            return
        self.active -= 1
        self.ttfts.append(stream.first - stream.arrived)
        if stream.total > 1:
            self.tpots.append((stream.last - stream.first) / (stream.total - 1))

    def _document(self, request: bytes) -> dict[str, Any]:
        if request.startswith(b"GET /truth"):
            return {
                "requests": len(self.ttfts), "chunks": len(self.late), "most_active": self.most,
                "ttft_mean": _mean(self.ttfts), "ttft_p99": _p99(self.ttfts), "tpot_mean": _mean(self.tpots),
                "late_mean": _mean(self.late), "late_p99": _p99(self.late), "cpu": time.process_time(),
            }  # fmt: skip
        if request.startswith(b"GET"):
            return {"object": "list", "data": [{"id": "paced", "object": "model", "max_model_len": 131_072}]}
        message = {"role": "assistant", "content": " token"}
        usage = {"prompt_tokens": request.count(b" ", request.find(b'"content"')) + 1, "completion_tokens": 1}
        choice = {"index": 0, "message": message, "finish_reason": "length"}
        return {"model": "paced", "choices": [choice], "usage": usage}

    def _answer(self, stream: _Stream, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        try:
            stream.sock.send(head + body)
        except OSError:
            self._drop(stream)

    def _drop(self, stream: _Stream) -> None:
        if stream.open:
            stream.open = False
            self.streams.pop(stream.sock.fileno(), None)
            self.poller.unregister(stream.sock.fileno())
            stream.sock.close()


def _mean(values: Any) -> float:
    """Of ns, s."""
    return sum(values) / len(values) / 1e9 if values else 0.0


def _p99(values: Any) -> float:
    return float(sorted(values)[min(len(values) - 1, int(0.99 * len(values)))]) / 1e9 if values else 0.0


def main() -> None:
    """Serve; the port is the first line of stdout."""
    from llm_magics.load import descriptors
    from llm_magics.load.priority import urgent

    descriptors.raise_limit()
    urgent()
    server = Paced(round(float(sys.argv[1]) * 1e6), round(float(sys.argv[2]) * 1e6))
    sys.stdout.write(f"{server.listener.getsockname()[1]}\n")
    sys.stdout.flush()
    gc.freeze()
    gc.disable()
    server.serve()


if __name__ == "__main__":
    main()
