"""Text that others wrote, made fit to be shown.

A server's answer, an engine's log line or a model's name may hold codes that move a terminal's cursor, rename its
window or hide what stands before them.
"""

from __future__ import annotations

import re

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def visible(text: str) -> str:
    """Text of an engine or a user without terminal codes and control characters; line ends and tabs stay."""
    return _CONTROL.sub("", text.replace("\r\n", "\n"))
