"""One HTTP answer, read as it comes: when each chunk with content arrived, and what the server said about itself.

This is where a load tester is right or wrong. Rules, each with a test: a role alone is no token; an event counts when
its blank line has arrived, however the network cut it; text, reasoning and tool calls are content; the server's
`usage` is the only count of tokens; nothing is kept of a chunk but its time, so that a thousand long streams fit in
a few megabytes. There is no I/O here: `feed` takes bytes and the time they came.

Speed: consecutive events of a stream differ only in the text they carry. The first one with content is decoded, and
the bytes before and after its text (the frame) are remembered once a second decoding has proved that the hole
between them is that text. From then on an event that fits the frame is counted without decoding it; one that does not
(a finish reason, usage, another second in `created`) is decoded, and a new frame is learned.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import orjson

from llm_magics.load.events import content, learn
from llm_magics.load.server_words import explain

MAX_HEAD = 65_536  # bytes of status line and headers
MAX_EVENT = 64 * 1024 * 1024  # bytes of one event or one JSON answer
MAX_ERROR = 65_536  # bytes kept of an error page

_HEAD, _CHUNKED, _LENGTH, _UNTIL_CLOSE, _TRAILERS, _OVER = range(6)
_QUOTE = 0x22


class Reply:
    """The answer to one request; times are whatever clock `feed` is given (ns).

    Attributes
    ----------
    stamps
        Arrival time of every chunk with content.
    first_byte, done
        First byte of the answer; its end. 0 until then.
    status, finish, prompt_tokens, output_tokens, cached_tokens
        As the server said; None where it did not.
    error
        What went wrong, in the server's words where it has any; None when nothing did.
    over
        Nothing more belongs to this answer.
    reusable
        The connection may carry another request.
    tail, head, hole
        The armed frame: set while the next read may be one whole HTTP chunk with one event of known shape.
    on_text
        Called with the text of each chunk; switches the frame off. For showing answers, never while measuring load.
    """

    __slots__ = (
        "_body", "_body_size", "_chunked", "_crlf", "_data", "_done_event", "_event_name", "_frame", "_left", "_line",
        "_line_size", "_media", "_rest", "_state", "cached_tokens", "done", "error", "finish", "first_byte", "head",
        "hole", "on_text", "output_tokens", "over", "prompt_tokens", "reusable", "stamps", "status", "tail",
    )  # fmt: skip

    def __init__(self, on_text: Callable[[str, int], None] | None = None) -> None:
        self.stamps = array("q")
        self.first_byte = 0
        self.done = 0
        self.status: int | None = None
        self.finish: str | None = None
        self.prompt_tokens: int | None = None
        self.output_tokens: int | None = None
        self.cached_tokens: int | None = None
        self.error: str | None = None
        self.over = False
        self.reusable = True
        self.tail: bytes | None = None
        self.head = b""
        self.hole = 0
        self.on_text = on_text
        self._frame: tuple[bytes, bytes] | None = None
        self._state = _HEAD
        self._rest = b""
        self._left = 0
        self._crlf = 0
        self._chunked = False
        self._media = ""
        self._line: list[bytes] = []
        self._line_size = 0
        self._data: bytes | None = None
        self._event_name = b""
        self._done_event = False
        self._body: list[bytes] = []
        self._body_size = 0

    def feed(self, data: bytes, now: int) -> bool:
        """Take bytes that arrived at `now`; True when the answer is over. Bytes after its end make it not reusable."""
        self.tail = None
        if self._rest:
            data, self._rest = self._rest + data, b""
        if self._state == _HEAD:
            if not self.first_byte:
                self.first_byte = now
            data = self._headers(data)
            if self._state == _HEAD:
                return self.over
        if self._state == _TRAILERS:
            self._rest = data
        elif self._state == _CHUNKED:
            self._chunks(data, now)
            self._arm()
        elif self._state == _LENGTH:
            self._take(data[: self._left], now)
            self.reusable = self.reusable and len(data) <= self._left
            self._left -= min(len(data), self._left)
            if not self._left:
                self._state = _OVER
        elif self._state == _UNTIL_CLOSE:
            self._take(data, now)
        if self._state == _TRAILERS:
            self._trailers(self._rest)
        if self._state == _OVER and not self.over:
            self._conclude(now)
        return self.over

    def closed(self, now: int, why: str | None = None) -> None:
        """The connection is gone. Right for a body without a length, an error for every other."""
        if self.over:
            return
        self.reusable = False
        if self._state == _UNTIL_CLOSE and why is None:
            self._conclude(now)
            if self.error is None and not (self.finish or self._done_event or "json" in self._media):
                self.error = "The connection was closed before the stream said that it was finished."
            return
        where = "before the answer began" if not self.first_byte else "in the middle of the answer"
        self.fail(f"The connection was closed {where}{f': {why}' if why else '.'}", now)

    def fail(self, error: str, now: int) -> None:
        """End the answer with an error (a time-out, a broken protocol); the first error stays."""
        if self.error is None:
            self.error = error
        self.done = now
        self.over = True
        self.reusable = False
        self.tail = None
        self._state = _OVER

    def _arm(self) -> None:
        """Between two HTTP chunks and two events, with a frame known: the next read may take the short way."""
        between = not (self._left or self._crlf or self._rest or self._line or self._event_name)
        if self._frame is not None and between and self._data is None:
            head, tail = self._frame
            self.head = b"data: " + head
            self.tail = tail + b"\n\n\r\n"
            self.hole = len(self.head)

    # HTTP.

    def _headers(self, data: bytes) -> bytes:
        """Parse status line and headers once they are complete; returns what follows them."""
        while True:
            if not data.startswith(b"HTTP/1."[: len(data)]):
                self.fail(f"This is not an HTTP server: it answered {data[:60]!r}.", self.first_byte)
                return b""
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._rest = data
                if len(data) > MAX_HEAD:
                    self.fail(f"The answer's headers are longer than {MAX_HEAD} bytes.", self.first_byte)
                return b""
            lines = data[:end].decode("latin-1").split("\r\n")
            data = data[end + 4 :]
            words = lines[0].split(" ", 2)
            if len(words) < 2 or not words[1].isdigit():
                self.fail(f"The answer's first line is {lines[0][:80]!r}.", self.first_byte)
                return b""
            self.status = int(words[1])
            if self.status < 200:
                continue  # 100 Continue, 103 Early Hints: the answer proper follows
            headers = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
            self._body_kind(words[0], headers)
            return data

    def _body_kind(self, version: str, headers: dict[str, str]) -> None:
        connection = headers.get("connection", "").lower()
        self.reusable = "close" not in connection and (version == "HTTP/1.1" or "keep-alive" in connection)
        self._media = headers.get("content-type", "").lower()
        status = self.status or 0
        if 300 <= status < 400:
            self.error = (
                f"HTTP {status}: the server redirects to {headers.get('location', 'another address')!r}; "
                "give that address, redirects are not followed while measuring."
            )
        coding = headers.get("content-encoding", "identity").lower()
        if coding not in ("identity", ""):
            self.error = f"The server compressed its answer ({coding}) although it was asked not to."
        if "chunked" in headers.get("transfer-encoding", "").lower():
            self._state = _CHUNKED
        elif status in (204, 304):
            self._state = _OVER
        elif headers.get("content-length", "").isdigit():
            self._left = int(headers["content-length"])
            self._state = _LENGTH if self._left else _OVER
        else:
            self._state = _UNTIL_CLOSE
            self.reusable = False

    def _chunks(self, data: bytes, now: int) -> None:
        """Undo the chunked coding, at whatever byte the reads were cut."""
        at, end = 0, len(data)
        while at < end:
            if self._left:
                stop = min(at + self._left, end)
                self._take(data[at:stop], now)
                if self.over:
                    return
                self._left -= stop - at
                at = stop
                if not self._left:
                    self._crlf = 2
                continue
            if self._crlf:
                skip = min(self._crlf, end - at)
                if data[at : at + skip] != b"\r\n"[2 - self._crlf :][:skip]:
                    self.fail("The chunked coding of the answer is broken: a chunk is longer than it says.", now)
                    return
                at += skip
                self._crlf -= skip
                continue
            stop = data.find(b"\r\n", at)
            if stop < 0:
                self._rest = data[at:]
                if len(self._rest) > MAX_HEAD:
                    self.fail("The chunked coding of the answer is broken: no size where one belongs.", now)
                return
            try:
                size = int(data[at:stop].split(b";", 1)[0], 16)
                if size < 0:
                    raise ValueError
            except ValueError:
                self.fail(f"The chunked coding of the answer is broken: {data[at:stop][:40]!r} is no chunk size.", now)
                return
            at = stop + 2
            if not size:
                self._state = _TRAILERS
                self._rest = data[at:]
                return
            self._left = size

    def _trailers(self, data: bytes) -> None:
        """After the last chunk: optional trailer lines, then an empty one."""
        if data.startswith(b"\r\n"):
            end = 2
        else:
            found = data.find(b"\r\n\r\n")
            if found < 0:
                self._rest = data
                if len(data) > MAX_HEAD:
                    self._state = _OVER
                    self.reusable = False
                return
            end = found + 4
        self.reusable = self.reusable and len(data) == end
        self._rest = b""
        self._state = _OVER

    # Server-sent events.

    def _take(self, data: bytes, now: int) -> None:
        """Bytes of the body: events when it is a stream, else kept until its end."""
        if self.status != 200 or "json" in self._media or "html" in self._media:
            limit = MAX_EVENT if self.status == 200 else MAX_ERROR
            if self._body_size < limit:
                self._body.append(data)
            elif self.status == 200:
                self.fail(f"The answer is longer than {limit} bytes.", now)
            self._body_size += len(data)
            return
        if self._line:
            if b"\n" not in data:
                self._line.append(data)
                self._line_size += len(data)
                if self._line_size > MAX_EVENT:
                    self.fail(f"One event of the stream is longer than {MAX_EVENT} bytes.", now)
                return
            self._line.append(data)
            data = b"".join(self._line)
            self._line = []
        lines = data.split(b"\n")
        rest = lines.pop()
        if rest:
            self._line = [rest]
            self._line_size = len(rest)
        for line in lines:
            self._field(line, now)
            if self.over:
                return

    def _field(self, line: bytes, now: int) -> None:
        if line.endswith(b"\r"):
            line = line[:-1]
        if not line:
            data, self._data = self._data, None
            if data is not None:
                self._event(data, now)
            self._event_name = b""
        elif line.startswith(b"data:"):
            data = line[6:] if line.startswith(b"data: ") else line[5:]
            self._data = data if self._data is None else self._data + b"\n" + data
        elif line.startswith(b"event:"):
            self._event_name = line[6:].strip()
        elif line.startswith(b"error:"):  # llama.cpp before 2025 reports errors in a field of that name
            self._event_name = b"error"
            self._data = line[6:].strip()

    def _event(self, data: bytes, now: int) -> None:
        frame = self._frame
        if (
            frame is not None
            and data.startswith(frame[0])
            and data.endswith(frame[1])
            and len(data) > len(frame[0]) + len(frame[1])
            and data[len(frame[0])] != _QUOTE
            and not self._event_name
        ):
            self.stamps.append(now)
            return
        if data.rstrip() == b"[DONE]":  # TensorRT-LLM ends its lines with a space
            self._done_event = True
            return
        try:
            document = orjson.loads(data)
        except orjson.JSONDecodeError:
            if self.error is None:
                said = data[:200].decode("utf-8", "replace")
                self.error = (
                    said if self._event_name == b"error" else f"The stream held something that is not JSON: {said}"
                )
            return
        if self._event_name == b"error" or not isinstance(document, dict) or document.get("error"):
            if self.error is None:
                self.error = explain(document)
            return
        self._document(document, data, now)

    def _document(self, document: dict[str, Any], data: bytes, now: int) -> None:
        plain = self._usage(document.get("usage"))
        for choice in document.get("choices") or ():
            if not isinstance(choice, dict):
                continue
            if choice.get("finish_reason"):
                self.finish = str(choice["finish_reason"])
                plain = False
            text = content(choice)
            if text is None:
                continue
            self.stamps.append(now)
            if self.on_text is not None:
                self.on_text(text, now)
            elif plain and text and b"\n" not in data:
                self._frame = learn(data)
            return

    def _usage(self, usage: Any) -> bool:
        """Note the counts; True when there are none (then nothing but text may change from event to event)."""
        if not isinstance(usage, dict):
            return True
        for key, slot in (("prompt_tokens", "prompt_tokens"), ("completion_tokens", "output_tokens")):
            if isinstance(usage.get(key), int):
                setattr(self, slot, usage[key])
        details = usage.get("prompt_tokens_details")
        if isinstance(details, dict) and isinstance(details.get("cached_tokens"), int):
            self.cached_tokens = details["cached_tokens"]
        return False

    # The end.

    def _conclude(self, now: int) -> None:
        self.done = now
        self.over = True
        self.tail = None
        if self._line:  # a last line without its end: taken, not thrown away
            self._field(b"".join(self._line), now)
            self._line = []
        if self._data is not None:
            self._field(b"", now)
        if self.error is not None:
            return
        if self.status != 200:
            self.error = f"HTTP {self.status}: {self._said() or 'the server said nothing else'}"
        elif "json" in self._media or "html" in self._media:
            self._whole(now)
        elif not self.stamps and not self.finish:
            self.error = "The stream ended without any content."

    def _whole(self, now: int) -> None:
        """A 200 answer that is one document: right when the server ignored `stream`, else an error page."""
        try:
            document = orjson.loads(b"".join(self._body))
        except orjson.JSONDecodeError:
            self.error = f"The answer is neither a stream nor JSON: {self._said()}"
            return
        if not isinstance(document, dict) or document.get("error") or not document.get("choices"):
            self.error = explain(document)
            return
        self._usage(document.get("usage"))
        choice = document["choices"][0]
        self.finish = choice.get("finish_reason")
        text = content({"delta": choice["message"]} if isinstance(choice.get("message"), dict) else choice)
        if text is not None:
            self.stamps.append(now)
            if self.on_text is not None:
                self.on_text(text, now)

    def _said(self) -> str:
        body = b"".join(self._body)
        try:
            return explain(orjson.loads(body))
        except orjson.JSONDecodeError:
            return " ".join(body[:600].decode("utf-8", "replace").split())[:300]
