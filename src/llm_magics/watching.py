"""`list --watch`: what changes on this machine, as tables for a person or as messages for an editor's sidebar.

The messages are those that JupyterLab's sidebar gets on its socket (`runtime/looking.py`), so that both front ends
share one model. The first says who speaks: an editor that needs a newer version can tell before it shows anything.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

SPEAKS = 1  # raised when a message changes its meaning; new kinds and keys do not raise it


def as_messages(send: Callable[[Any], None]) -> None:
    """`{"llm_magics": VERSION, "speaks": 1}`, then each change; until interrupted."""
    from llm_magics import __version__
    from llm_magics.runtime.looking import tell

    send({"llm_magics": __version__, "speaks": SPEAKS})
    with suppress(KeyboardInterrupt):  # the usual way to end it
        tell(send)


def in_words(say: Callable[[str], None]) -> None:
    """The table of servers, again whenever a state, a stage or the list itself changes; until interrupted."""
    from llm_magics.runtime.looking import tell
    from llm_magics.runtime.registry import Registry
    from llm_magics.views import tables

    shown: list[tuple[Any, ...]] | None = None

    def send(message: dict[str, Any]) -> None:
        nonlocal shown
        if message.get("trouble"):
            say(message["trouble"])
        if "engines" not in message:
            return
        now = [(each["id"], each["state"], each["stage"]) for each in message["engines"]]
        if now != shown:
            shown = now
            records = [record for record in Registry().list() if record.state != "stopped"]
            say(f"{tables.servers(sorted(records, key=lambda record: (not record.alive, record.created)))}\n")

    with suppress(KeyboardInterrupt):
        tell(send)
