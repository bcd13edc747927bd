"""One HTTP answer as bytes come: status, headers, and a body freed of its framing, at whatever byte the reads were cut.

There is no I/O here: `feed` takes bytes and the time they came. What the body means is the business of those below:
`EventStream` makes events of it, `Reply` knows what they say.
"""

from __future__ import annotations

MAX_HEAD = 65_536  # bytes of status line and headers

_HEAD, _CHUNKED, _LENGTH, _UNTIL_CLOSE, _TRAILERS, _OVER = range(6)
# The last headers that announced an ordinary stream, and their media type: a server's answers differ in little but the
# second in `Date`, and to read them anew costs a request of one token as much as all the rest of it.
_LAST: dict[bytes, str] = {}


class HttpAnswer:
    """The answer to one request; times are whatever clock `feed` is given (ns).

    Attributes
    ----------
    first_byte, done
        First byte of the answer; its end. 0 until then.
    status
        The HTTP status; None until it has come.
    error
        What went wrong, in the server's words where it has any; None when nothing did.
    over
        Nothing more belongs to this answer.
    reusable
        The connection may carry another request.
    tail, head, hole
        The armed frame: set while the next read may be one whole HTTP chunk with one event of known shape (see
        `EventStream`).
    """

    __slots__ = (
        "_crlf", "_left", "_media", "_rest", "_state", "_streamed",
        "done", "error", "first_byte", "head", "hole", "over", "reusable", "status", "tail",
    )  # fmt: skip

    def __init__(self) -> None:
        self.first_byte = 0
        self.done = 0
        self.status: int | None = None
        self.error: str | None = None
        self.over = False
        self.reusable = True
        self.tail: bytes | None = None
        self.head = b""
        self.hole = 0
        self._state = _HEAD
        self._rest = b""
        self._left = 0
        self._crlf = 0
        self._media = ""
        self._streamed = False

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
            if self.error is None and not self._said_finished():
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

    # What a body means: for those below.

    def _take(self, data: bytes, now: int) -> None:
        """Bytes of the body."""
        raise NotImplementedError

    def _conclude(self, now: int) -> None:
        """The body has ended as its framing said."""
        raise NotImplementedError

    def _said_finished(self) -> bool:
        """Whether the body itself told that it is whole, for one that ends with the connection."""
        raise NotImplementedError

    def _arm(self) -> None:
        """Between two chunks of the chunked coding: set the frame of the next read, where one is known."""

    # Framing.

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
            block, data = data[:end], data[end + 4 :]
            if (seen := _LAST.get(block)) is not None:
                self.status, self.reusable, self._media = 200, True, seen
                self._streamed, self._state = True, _CHUNKED
                return data
            lines = block.decode("latin-1").split("\r\n")
            words = lines[0].split(" ", 2)
            if len(words) < 2 or not words[1].isdigit():
                self.fail(f"The answer's first line is {lines[0][:80]!r}.", self.first_byte)
                return b""
            self.status = int(words[1])
            if self.status < 200:
                continue  # 100 Continue, 103 Early Hints: the answer proper follows
            headers = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
            self._body_kind(words[0], headers)
            if self._streamed and self.reusable and self._state == _CHUNKED and self.error is None:
                _LAST.clear()
                _LAST[block] = self._media
            return data

    def _body_kind(self, version: str, headers: dict[str, str]) -> None:
        """What the headers say about the body, and whether the connection may be used again."""
        connection = headers.get("connection", "").lower()
        self.reusable = "close" not in connection and (version == "HTTP/1.1" or "keep-alive" in connection)
        self._media = headers.get("content-type", "").lower()
        status = self.status or 0
        self._streamed = status == 200 and "json" not in self._media and "html" not in self._media
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
        body: list[bytes] = []
        broken = self._unframe(data, body)
        if body:
            self._take(body[0] if len(body) == 1 else b"".join(body), now)
        if broken is not None and not self.over:
            self.fail(f"The chunked coding of the answer is broken: {broken}", now)

    def _unframe(self, data: bytes, body: list[bytes]) -> str | None:
        """Put what chunks hold into `body`; what is wrong with the coding, None when nothing is."""
        at, end = 0, len(data)
        while at < end:
            if self._left:
                stop = min(at + self._left, end)
                body.append(data[at:stop])
                self._left -= stop - at
                at = stop
                if not self._left:
                    self._crlf = 2
                continue
            if self._crlf:
                skip = min(self._crlf, end - at)
                if data[at : at + skip] != b"\r\n"[2 - self._crlf :][:skip]:
                    return "a chunk is longer than it says."
                at += skip
                self._crlf -= skip
                continue
            stop = data.find(b"\r\n", at)
            if stop < 0:
                self._rest = data[at:]
                return "no size where one belongs." if len(self._rest) > MAX_HEAD else None
            try:
                size = int(data[at:stop].split(b";", 1)[0], 16)
                if size < 0:
                    raise ValueError
            except ValueError:
                return f"{data[at:stop][:40]!r} is no chunk size."
            at = stop + 2
            if not size:
                self._state = _TRAILERS
                self._rest = data[at:]
                return None
            self._left = size
        return None

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
