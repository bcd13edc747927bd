"""How a magic that does not come to its end is told to a person: a few lines in place of a traceback."""

from __future__ import annotations

from typing import Any

from llm_magics import replaced
from llm_magics.errors import LLMMagicsError


class said_to_a_person:  # noqa: N801 - reads as a statement
    """Around a magic's work.

    `--help` prints the help and ends the magic, no error; code that was replaced under this kernel is said to be; an
    interrupt says what was stopped and what is left, wherever it came: while an engine is looked for, asked for its
    options, or waited for.

    Attributes
    ----------
    starts
        The server that this starts, as soon as that is known.
    measures
        Whether it stores what it measures; an interrupt may come before that, between two runs or after it.
    """

    def __init__(self, *, measures: bool = False) -> None:
        self.starts = ""
        self.measures = measures

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
        if self.starts:
            return _start_interrupted(self.starts)
        if self.measures:
            return LLMMagicsError("Stopped.", then="`%llm runs` lists what was measured until then")
        return LLMMagicsError("Stopped.")


def _say_in(interrupt: KeyboardInterrupt, told: LLMMagicsError) -> None:
    """Have IPython show an interrupt in a few words (see `errors`); its type and name stay what front ends know."""
    interrupt.args = (str(told),)
    vars(interrupt)["_render_traceback_"] = lambda: [f"{type(interrupt).__name__}: {told}"]


def _start_interrupted(name: str) -> LLMMagicsError:
    """What a start left that was interrupted: nothing, or the server that ran before."""
    from llm_magics.runtime.registry import Registry

    try:
        record = Registry().get(name)
    except OSError:
        record = None
    if record is None or not record.alive:
        return LLMMagicsError(f"The start of {name} was stopped.", why="nothing of it is left running")
    return LLMMagicsError(
        f"{name} is not waited for any more.", why=f"it was there before, is {record.state}, and goes on",
        then=f"`%llm list` says how far it is; `%llm stop {name}` stops it",
    )  # fmt: skip
