"""What is wrong with a body that is no YAML, as a person says it: on which line, what, and how it is written.

YAML's own words are about its grammar, and its line is where the reading stopped: of a missing colon that is the next
line, or one below the last. Beside `reading`, which loads it when something is wrong.
"""

from __future__ import annotations

import re

import yaml

_QUOTE = "quote text that holds : # { or ["
_NO_COLON = re.compile(r"(?P<key>[A-Za-z_][\w-]*)(?:\s*=\s*|\s+|:)(?P<value>[^\s:=].*)$")
_WORD = re.compile(r"[A-Za-z_][\w-]*")
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_CLOSES = {"[": "]", "{": "}"}
# An option where YAML takes none: behind text that goes on over lines, and behind text that a comment has ended.
_NO_KEY, _NO_MORE = "mapping values are not allowed here", "but found '<block mapping start>'"


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
        return (opened.line, *(_without_colon(lines, opened.line) or (why, _QUOTE)))
    if why == _NO_KEY or why.endswith(_NO_MORE):
        return _no_option(lines, mark.line, mark.column) or (mark.line, why, _QUOTE)
    return mark.line, why, _QUOTE


def _without_colon(lines: list[str], at: int) -> tuple[str, str] | None:
    """What is said of `key value`, `key=value`, `key:value` and `key`; None where a line is none of them."""
    line = _said(lines[at]).strip()
    if _WORD.fullmatch(line):
        below = next((each for each in lines[at + 1 :] if _said(each)), "")
        holds = _indent(below) > _indent(lines[at]) or below.lstrip().startswith("- ")
        return f"`{line}` has no colon", f"write `{line}:{'' if holds else ' VALUE'}`"
    found = _NO_COLON.fullmatch(line)
    if found is None or ": " in line:
        return None
    return (
        f"`{line}` has no colon with a blank behind it after the option's name",
        f"write `{found['key']}: {found['value']}`",
    )


def _no_option(lines: list[str], line: int, column: int) -> tuple[int, str, str] | None:
    """The line above has lost its colon, or this one has two, or stands too far right or left; None: none of these."""
    if ": " in lines[line][:column]:
        return line, "a second colon stands on the line", _QUOTE
    above = next((at for at in range(line - 1, -1, -1) if _said(lines[at])), None)
    if above is None:
        return None
    if said := _without_colon(lines, above):
        return (above, *said)
    further = _indent(lines[line]) - _indent(lines[above])
    if not further:
        return None
    where = "right" if further > 0 else "left"
    return (
        line,
        f"it stands further {where} than the line that it follows",
        "let every option begin in the first column",
    )


def _said(line: str) -> str:
    """A line without its comment; a # behind a quote may be text."""
    return (line if "'" in line or '"' in line else _COMMENT.sub("", line, count=1)).rstrip()


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
