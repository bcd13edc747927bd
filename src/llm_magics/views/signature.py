"""What a failure's pattern looks for, in words that a person finds in a log: no regular expression is shown.

It knows the parts of regular expressions that signatures are made of (`engines.facts.Failure`), no more.
"""

from __future__ import annotations

import re

ANYTHING = "…"  # what the line itself names

_TOKEN = re.compile(
    r"\(\?[:=!]|\(|\)|\||\[\^?(?:\\.|[^\]\\])+\]|\\.|\{\d+(?:,\d*)?\}|[*+?.^$]|[^\\\[(){}|*+?.^$]|.", re.DOTALL
)
_KINDS = frozenset([r"\d", r"\D", r"\s", r"\S", r"\w", r"\W", r"\b", r"\B"])


def readable(pattern: str) -> list[str]:
    """The wordings that a pattern stands for, one for each of its alternatives, the same ones once."""
    left = _TOKEN.findall(pattern)
    found = [_tidy(each) for each in _alternatives(left)]
    return list(dict.fromkeys(each for each in found if each.strip(ANYTHING + " ")))


def filled(text: str) -> str:
    """A cause or a remedy with `…` where a line's own words go."""
    return text.format(*[ANYTHING] * 9)


def _alternatives(left: list[str]) -> list[str]:
    """What stands up to the end or the group's bracket, an entry for each alternative; takes its left."""
    found: list[list[str]] = [[]]
    while left and left[0] != ")":
        part = left.pop(0)
        if part == "|":
            found.append([])
        elif part in ("*", "+", "?") or part.startswith("{"):
            _repeat(found[-1], part)
        else:
            found[-1].append(_one(part, left))
    return ["".join(each) for each in found]


def _one(part: str, left: list[str]) -> str:
    if part.startswith("("):
        inside = _alternatives(left)[0]
        del left[:1]
        return "" if part in ("(?=", "(?!") else inside
    if part.startswith("["):
        letters = part[1:-1]
        return letters[-1] if letters[:1] != "^" and len({each.lower() for each in letters}) == 1 else ANYTHING
    if part in (r"\b", r"\B", "^", "$"):
        return ""
    if part == r"\s":
        return " "
    if part in _KINDS or part == ".":
        return ANYTHING
    return part[1:] if part.startswith("\\") else part


def _repeat(parts: list[str], part: str) -> None:
    """An optional part is left out, whatever else is repeated stands once."""
    if parts and (part == "?" and parts[-1] != ANYTHING):
        parts[-1] = ""


def _tidy(text: str) -> str:
    return re.sub(rf"{ANYTHING}+", ANYTHING, text).strip()
