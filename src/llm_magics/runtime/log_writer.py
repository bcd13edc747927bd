"""Writing a server's log: whole lines, without secrets, never larger than two files.

A full disk costs lines, never the server: what cannot be written is dropped, and said so once it can be written again.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from llm_magics.printable import visible
from llm_magics.runtime.logs import redact
from llm_magics.runtime.private_files import open_log

LIMIT = 20_000_000  # bytes of one log file; there are two
_LONGEST = 64 * 1024  # bytes of one line, then it is cut
_KEPT = 300  # lines kept in memory for a diagnosis


class LogWriter:
    """The log of one server.

    Parameters
    ----------
    path
        The file; the part before a rotation goes to the same name with `.1`.
    secrets
        Texts that are replaced wherever they stand in a line.
    limit
        Bytes after which the file is rotated.
    """

    def __init__(self, path: Path, secrets: Sequence[str] = (), limit: int = LIMIT) -> None:
        self._path = path
        self._secrets = secrets
        self._limit = limit
        self._rest = b""
        self._dropped = 0
        self._handle = open_log(path)
        self._size = os.fstat(self._handle).st_size
        self.tail: deque[str] = deque(maxlen=_KEPT)

    def feed(self, output: bytes) -> list[str]:
        """Write what the engine said.

        Returns
        -------
        list of str
            The lines that are complete now, as written, and with them every state a progress bar went through: bars
            are drawn over with carriage returns, and only their last state goes to the file.
        """
        *lines, self._rest = (self._rest + output).split(b"\n")
        if len(self._rest) > _LONGEST:
            lines.append(self._rest)
            self._rest = b""
        said: list[str] = []
        written: list[str] = []
        for line in lines:
            states = [text for part in line.split(b"\r") if (text := self._clean(part)).strip()]
            said += states
            written.append(states[-1] if states else "")
        if b"\r" in self._rest:
            *states_now, self._rest = self._rest.split(b"\r")
            # The bar's last state stays, so that a line break right behind it writes it.
            self._rest = self._rest or states_now[-1] + b"\r"
            said += [text for part in states_now if (text := self._clean(part)).strip()]
        self._write(written)
        return said

    def say(self, line: str) -> None:
        """Write a line of our own."""
        self._write([self._clean(line.encode())])

    def end_line(self) -> None:
        """Write what had no line break: nothing more of it comes."""
        if self._rest.strip():
            self.feed(b"\n")

    def close(self) -> None:
        """Write what had no line break, and close."""
        self.end_line()
        os.close(self._handle)

    def _clean(self, line: bytes) -> str:
        return redact(visible(line[:_LONGEST].decode("utf-8", "replace")), self._secrets)

    def _write(self, lines: list[str]) -> None:
        if not lines:
            return
        self.tail.extend(line[:2000] for line in lines)
        if self._dropped:
            lines = [f"[{self._dropped} lines could not be written: the disk was full]", *lines]
        data = "".join(line + "\n" for line in lines).encode()
        try:
            if self._size + len(data) > self._limit and self._size:
                self._rotate()
            left = memoryview(data)
            while left:
                count = os.write(self._handle, left)
                self._size += count
                left = left[count:]
            self._dropped = 0
        except OSError:
            self._dropped += len(lines) - (1 if self._dropped else 0)

    def _rotate(self) -> None:
        self._path.replace(self._path.with_name(self._path.name + ".1"))
        old, self._size = self._handle, 0
        with contextlib.suppress(OSError):
            os.close(old)
        self._handle = open_log(self._path)
