"""A runbook as Markdown: what to look at first, commands to paste, limits that were measured.

For somebody who was woken and does not know this server, at a terminal: every command is one of a shell. Nothing is
guessed: what nobody measured is marked so, with the command that measures it.
"""

from __future__ import annotations

from llm_magics.views.runbook import measured, starting, trouble
from llm_magics.views.runbook.known import Earlier, Known

__all__ = ["Earlier", "Known", "markdown"]

_PARTS = (
    starting.head,
    trouble.first,
    measured.limits,
    trouble.alerts,
    trouble.diagnosis,
    starting.back,
    measured.scale,
)


def markdown(known: Known) -> str:
    """The runbook."""
    return "\n\n".join(part(known).rstrip() for part in _PARTS) + "\n"
