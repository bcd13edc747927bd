"""How a magic that does not come to its end is told to a person: a few lines in place of a traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_magics import replaced
from llm_magics.errors import LLMMagicsError

if TYPE_CHECKING:
    from llm_magics.runtime.record import Record


class said_to_a_person:  # noqa: N801 - reads as a statement
    """Around a magic's work.

    `--help` prints the help and ends the magic, no error; code that was replaced under this kernel is said to be; an
    interrupt says what was stopped and what is left, wherever it came: while an engine is looked for, asked for its
    options, or waited for.

    Attributes
    ----------
    measures
        Whether it stores what it measures; an interrupt may come before that, between two runs or after it.
    """

    def __init__(self, *, measures: bool = False) -> None:
        self.measures = measures
        self._starts = ""
        self._before: Record | None = None

    def starts(self, name: str) -> None:
        """The name of the server that this starts, said before it does: another may have it yet."""
        self._starts, self._before = name, _there(name)

    def __enter__(self) -> said_to_a_person:
        return self

    def __exit__(self, kind: Any, error: Any, _: Any) -> bool:
        from llm_magics.spec.line import HelpShown

        if kind is None:
            return False
        if issubclass(kind, HelpShown):
            print(error)  # noqa: T201
            return True
        if kind is KeyboardInterrupt:
            _say_in(error, self._interrupted())
        if (told := replaced.explained(error)) is not None:
            raise told from error
        return False

    def _interrupted(self) -> LLMMagicsError:
        if self._starts:
            return _start_interrupted(self._starts, self._before)
        if self.measures:
            return LLMMagicsError("Stopped.", then="`%llm runs` lists what was measured until then")
        return LLMMagicsError("Stopped.")


def _say_in(interrupt: KeyboardInterrupt, told: LLMMagicsError) -> None:
    """Have IPython show an interrupt in a few words (see `errors`); its type and name stay what front ends know."""
    interrupt.args = (str(told),)
    vars(interrupt)["_render_traceback_"] = lambda: [f"{type(interrupt).__name__}: {told}"]


def _there(name: str) -> Record | None:
    """The server of a name, as far as it can be read."""
    from llm_magics.runtime.registry import Registry

    try:
        return Registry().get(name)
    except OSError:
        return None


def _start_interrupted(name: str, before: Record | None) -> LLMMagicsError:
    """What a start left that was interrupted: nothing, what is still ending, or a server that goes on."""
    from llm_magics.runtime import lifetime

    record = _there(name)
    if record is None or not record.alive:
        return LLMMagicsError(f"The start of {name} was stopped.", why="nothing of it is left running")
    was_there = before is not None and before.id == record.id
    if record.state == "stopping" or record.stops_why == lifetime.ASKED:  # a second interrupt, or one while it replaces
        return LLMMagicsError(
            f"The start of {name} was stopped.",
            why=f"{'the one that was there before' if was_there else 'what there was of it'} is still ending",
            then="`%llm list` says when it is gone",
        )
    return LLMMagicsError(
        f"{name} is not waited for any more.",
        why=f"it {'was there before, ' * was_there}is {record.state}, and goes on",
        then=f"`%llm list` says how far it is; `%llm stop {name}` stops it",
    )
