"""What is wrong with a body that is no YAML, as a person says it: on which line, what, and how it is written.

YAML's own words are about its grammar, and its line is where the reading stopped: of a missing colon that is the next
line, or one below the last. Beside `reading`, which loads it when something is wrong.
"""

from __future__ import annotations

import re

import yaml

_QUOTE = "quote text that holds : # { or ["
_NO_COLON = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z_][\w-]*)(?:\s*=\s*|\s+|:)(?P<value>[^\s:=].*)$")
_CLOSES = {"[": "]", "{": "}"}
_NO_KEY = "mapping values are not allowed here"


def fault(error: yaml.YAMLError, body: str) -> tuple[int | None, str, str]:
    """Where a body is wrong, what is, and what to write.

    Returns
    -------
    line
        Of the body, from 0; None where YAML does not say.
    why, then
        As in `errors.LLMMagicsError`.
    """
    mark, opened = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
    why = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
    context = str(getattr(error, "context", None) or "")
    if mark is None:
        return None, why, _QUOTE
    if "\\t" in why and "cannot start any token" in why:
        return mark.line, "a tab stands there", "use spaces, not tabs"
    if opened and opened.index < len(body) and ("flow" in context or "quoted scalar" in context):
        begun = body[opened.index]
        return opened.line, f"{begun} is not closed", f"close it with {_CLOSES.get(begun, begun)}"
    lines = body.splitlines()
    if opened and context == "while scanning a simple key":
        return (opened.line, *(_without_colon(lines[opened.line]) or (why, _QUOTE)))
    if why == _NO_KEY:
        return _two_in_one(lines, mark.line, mark.column)
    return mark.line, why, _QUOTE


def _without_colon(line: str) -> tuple[str, str] | None:
    """What is said of `key value`, `key=value` and `key:value`; None where a line is none of them."""
    found = _NO_COLON.fullmatch(line.rstrip())
    if found is None or ": " in line:
        return None
    return (
        f"`{line.strip()}` has no colon with a blank behind it after the option's name",
        f"write `{found['key']}: {found['value']}`",
    )


def _two_in_one(lines: list[str], line: int, column: int) -> tuple[int, str, str]:
    """A colon where YAML takes none: the line above has lost its own, or this one has two, or stands too far right."""
    if ": " in lines[line][:column]:
        return line, "a second colon stands on the line", _QUOTE
    above = next((at for at in range(line - 1, -1, -1) if lines[at].strip()), None)
    if above is not None and (said := _without_colon(lines[above])):
        return (above, *said)
    return line, "it stands further right than the line that it follows", "let every option begin in the first column"
