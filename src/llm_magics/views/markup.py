"""HTML that is safe and looks at home wherever a notebook is read: Lab light and dark, VS Code, a plain page.

Safe: text enters HTML through `escape` or as a `Markup` that was built here, nowhere else. At home: everything is
inherited from the page (font colour, size) or translucent, so no theme has to be known; one small style sheet with a
prefix of our own goes with each output, because an output may be the only one left on its page. Where a page drops
styles (an untrusted notebook, GitHub) what remains is plain, readable markup.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from llm_magics.printable import visible
from llm_magics.views import palette


class Markup(str):
    """HTML that is known to be safe; everything else is escaped."""

    __slots__ = ()


def escape(value: object) -> Markup:
    """A value as HTML text without control characters, which no page may hold; `Markup` stays as it is."""
    return value if isinstance(value, Markup) else Markup(html.escape(visible(str(value)), quote=True))


def tag(name: str, *children: object, cls: str = "", **attributes: object) -> Markup:
    """An element; children and attributes are escaped, None children are left out."""
    given: Mapping[str, Any] = {"class": " ".join(f"llmm-{part}" for part in cls.split()) or None, **attributes}
    written = "".join(f' {key}="{escape(value)}"' for key, value in given.items() if value is not None)
    if name in ("img", "br", "hr"):
        return Markup(f"<{name}{written}>")
    inside = "".join(escape(child) for child in children if child is not None)
    return Markup(f"<{name}{written}>{inside}</{name}>")


def join(*parts: object) -> Markup:
    """Parts one after another, each escaped unless it is Markup."""
    return Markup("".join(escape(part) for part in parts if part is not None))


def link(url: str, text: object | None = None) -> Markup:
    """A link, for http and https only; any other scheme stays text."""
    shown = url if text is None else text
    if not url.startswith(("http://", "https://")):
        return escape(shown)
    return tag("a", shown, href=url, target="_blank", rel="noopener noreferrer")


def page(*parts: object) -> str:
    """One output: the parts in the root element that the style sheet's rules need, and those of its rules they use."""
    body = tag("div", *parts, cls="root")
    return str(join(Markup(f"<style>{style(body)}</style>"), body))


def style(body: str = "") -> str:
    """The style sheet without comments and spare spaces; of rules for classes, only those that `body` uses."""
    used = {word for names in re.findall(r'class="([^"]*)"', body) for word in names.split()} | {"llmm-root"}
    if not body:
        return "".join(rule for rule, _ in _rules())
    if "<table" not in body:
        used.add("no table")
    return "".join(rule for rule, needs in _rules() if needs <= used and not ("table" in rule and "no table" in used))


@cache
def _rules() -> list[tuple[str, set[str]]]:
    """Each rule with the classes that its selector names (the first of several selectors stands for all)."""
    colours = {
        "good": palette.GOOD,
        "warn": palette.WARN,
        "bad": palette.BAD,
        "blue": palette.BLUE,
        "slate": palette.SLATE,
    }
    variables = ";".join(f"--llmm-{name}:{value}" for name, value in {**colours, "font": palette.FONT}.items())
    sheet = re.sub(
        r"/\*.*?\*/", "", files("llm_magics.views").joinpath("style.css").read_text("utf-8"), flags=re.DOTALL
    )
    sheet = re.sub(r"\s*([{};:,>])\s*", r"\1", re.sub(r"\s+", " ", sheet)).replace(";}", "}").strip()
    rules = re.findall(r"@[^{]+\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}|[^{}@]+\{[^{}]*\}", sheet)
    return [(f".llmm-root{{{variables}}}", set())] + [(rule, _classes(rule)) for rule in rules]


def _classes(rule: str) -> set[str]:
    selector = rule.partition("{")[0].partition(",")[0]
    return set() if rule.startswith("@") else set(re.findall(r"\.(llmm-[a-z]+)", selector))
