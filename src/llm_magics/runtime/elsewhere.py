"""What is said of a server that runs on another host: both see one registry directory, but not each other's processes.

Its address is of that host's loopback, so nothing here can ask it, keep it or end it.
"""

from __future__ import annotations

from typing import TypeVar

from llm_magics.errors import LLMMagicsError
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import SILENCE

WHY = (
    "that host and this one share a directory of servers, nothing else; "
    f"{SILENCE / 60:.0f} min after its last sign of life it counts as lost"
)
Error = TypeVar("Error", bound=LLMMagicsError)


def out_of_reach(record: Record, done: str, kind: type[Error], then: str = "") -> Error:
    """The error of who wants something of it here: `done` as in "it cannot be stopped from here"."""
    what = f"{record.name} runs on {record.host}; it cannot be {done} from here."
    return kind(what, why=WHY, then=then or f"do it on {record.host}")
