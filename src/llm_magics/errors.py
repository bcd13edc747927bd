"""The one kind of error a user sees: what failed, why, and what to type next.

Floor 0: everything may import this. A reason may be in a server's own words: what is printed is made fit for a
terminal. `_render_traceback_` is IPython's own hook: it prints these three lines in place of a traceback and still
marks the cell as failed, so that nbval and nbclient notice.
"""

from __future__ import annotations

from llm_magics.printable import visible


class LLMMagicsError(Exception):
    """A failure that a person can act on.

    Parameters
    ----------
    what
        What failed, one sentence.
    why
        The reason, in the engine's or the system's own words; may have several lines.
    then
        What to type next.
    """

    def __init__(self, what: str, *, why: str = "", then: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.then = then

    def __str__(self) -> str:
        parts = [self.what]
        if self.why:
            parts += [f"  {line}" for line in self.why.splitlines()]
        if self.then:
            parts.append(f"-> {self.then}")
        return visible("\n".join(parts))

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class SpecError(LLMMagicsError):
    """Something a user wrote is not valid: unknown key, wrong type, missing file. Raised before anything starts."""


class TargetError(LLMMagicsError):
    """A bench or compare target is not there or does not answer as an OpenAI-compatible server."""


class NoServerError(SpecError, TargetError):
    """A name that no server has, running or not: written wrongly, whichever verb it was written for."""


class LaunchError(LLMMagicsError):
    """A server did not become ready; `outcome` holds the typed reason (see `runtime.outcomes`)."""

    def __init__(self, what: str, *, why: str = "", then: str = "", outcome: object = None) -> None:
        super().__init__(what, why=why, then=then)
        self.outcome = outcome


class LoadError(LLMMagicsError):
    """The load generator could not measure at all (not: some requests failed, which a run records)."""


class StoreError(LLMMagicsError):
    """The run store could not be read or written."""


class DeployError(LLMMagicsError):
    """A cluster did not answer, refused what was applied, or did not bring it up; says what is left there."""
