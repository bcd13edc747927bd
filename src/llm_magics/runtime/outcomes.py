"""How a launch ended: a type for each way, so that callers decide by `isinstance` and forget none.

No exceptions here: a server that does not start is an answer, not a bug.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_magics.runtime.record import Record


@dataclass(frozen=True)
class Started:
    """A new server is ready, or (without waiting) on its way."""

    record: Record


@dataclass(frozen=True)
class Reused:
    """A server of this name and spec was there already; it now belongs to this kernel too.

    `before` is its record as it was, where it lives longer now than it would have.
    """

    record: Record
    before: Record | None = None


@dataclass(frozen=True)
class Differs:
    """A server of this name runs with another spec; nothing was started. `differences`: option -> (running, asked)."""

    record: Record
    differences: dict[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Elsewhere:
    """A server of this name runs on another host that shares the directory of servers; nothing was started."""

    record: Record


@dataclass(frozen=True)
class Failed:
    """The engine ended before it was ready, or could not be executed."""

    exit: int | None
    log: list[str] = field(default_factory=list)
    diagnosis: dict[str, str] | None = None  # cause, line, remedy


@dataclass(frozen=True)
class TimedOut:
    """The engine was not ready in time and was stopped."""

    seconds: float
    stage: str
    log: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PortBusy:
    """The port that was asked for is taken; `holder` names the process when it can be seen."""

    port: int
    holder: str


@dataclass(frozen=True)
class Stopped:
    """Somebody stopped the server while it was starting."""

    by: str


Outcome = Started | Reused | Differs | Elsewhere | Failed | TimedOut | PortBusy | Stopped
