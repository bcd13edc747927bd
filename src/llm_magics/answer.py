"""What a verb answers; the notebook and the terminal add only how it is put on the screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Say = Callable[[str], None]
Send = Callable[[Any], None]


@dataclass(frozen=True)
class Answer:
    """What a verb says.

    Attributes
    ----------
    shown
        Text, or something that draws itself (mime bundle and `str`).
    data
        The same as JSON.
    stream
        Instead: called with a function that puts a line on the screen, for what takes a while or goes on.
    messages
        The same for `--json`: called with a function that writes one JSON document on a line of its own.
    failed
        It did not do what was asked, though there is something to show: exit status 1 in a terminal.
    """

    shown: Any = None
    data: Any = None
    stream: Callable[[Say], None] | None = None
    messages: Callable[[Send], None] | None = None
    failed: bool = False
