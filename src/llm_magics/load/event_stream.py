"""A streamed answer's events: lines into fields, fields into events, and the frame by which the next event is known.

An event counts when its blank line has arrived, however the network cut it. Nothing is kept of a chunk but its time,
so that a thousand long streams fit in a few megabytes.

Speed: consecutive events of a stream differ only in the text they carry. One with content is decoded, and the bytes
before and after its text (the frame) are remembered once a second decoding has proved that the hole between them is
that text. From then on an event that fits the frame is counted without decoding it; one that does not (a finish
reason, usage, another second in `created`) is decoded, and a new frame is learned.
"""

from __future__ import annotations

from array import array

from llm_magics.load.http_answer import HttpAnswer

MAX_EVENT = 64 * 1024 * 1024  # bytes of one event or one JSON answer
MAX_ERROR = 65_536  # bytes kept of an error page

_QUOTE = 0x22


class EventStream(HttpAnswer):
    """An answer of server-sent events, or one document where the server did not stream.

    Attributes
    ----------
    stamps
        Arrival time of every chunk with content.
    """

    __slots__ = (
        "_body",
        "_body_size",
        "_data",
        "_done_event",
        "_event_name",
        "_frame",
        "_line",
        "_line_size",
        "stamps",
    )

    def __init__(self) -> None:
        super().__init__()
        self.stamps = array("q")
        self._frame: tuple[bytes, bytes] | None = None
        self._line: list[bytes] = []
        self._line_size = 0
        self._data: bytes | None = None
        self._event_name = b""
        self._done_event = False
        self._body: list[bytes] = []
        self._body_size = 0

    # What an event means: for those below.

    def _decode(self, data: bytes, now: int) -> None:
        """An event that is not the end mark and fits no frame."""
        raise NotImplementedError

    def _finish(self, now: int) -> None:
        """The body has ended: judge it."""
        raise NotImplementedError

    def _arm(self) -> None:
        """Between two HTTP chunks and two events, with a frame known: the next read may take the short way."""
        between = not (self._left or self._crlf or self._rest or self._line or self._event_name)
        if self._frame is not None and between and self._data is None:
            head, tail = self._frame
            self.head = b"data: " + head
            self.tail = tail + b"\n\n\r\n"
            self.hole = len(self.head)

    def _take(self, data: bytes, now: int) -> None:
        """Bytes of the body: events when it is a stream, else kept until its end."""
        if not self._streamed:
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
            if self._data is None and line.startswith(b"data: ") and not line.endswith(b"\r"):
                self._data = line[6:]  # what nearly all lines are, without the way through `_field`
                continue
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
        self._decode(data, now)

    def _conclude(self, now: int) -> None:
        self.done = now
        self.over = True
        self.tail = None
        if self._line:  # a last line without its end: taken, not thrown away
            self._field(b"".join(self._line), now)
            self._line = []
        if self._data is not None:
            self._field(b"", now)
        if self.error is None:
            self._finish(now)
