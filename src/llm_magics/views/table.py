"""A table that is one object in every place: HTML in a notebook, aligned columns in a terminal.

What a table contains is `tables`' business; this file only knows cells, columns and how both forms are written.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Literal

from llm_magics.views.format import visible
from llm_magics.views.markup import Markup, escape, link, page, tag

READABLE = 120  # columns of text, for a table that is read and not filtered
_NARROWEST = 20  # columns of a terminal, for a column that wraps
Tone = Literal["", "good", "busy", "warn", "bad", "best", "worse", "flag", "muted"]


@dataclass(frozen=True)
class Cell:
    """A value as shown.

    Attributes
    ----------
    text
        What stands there.
    tone
        How it is coloured; `good`, `busy`, `warn` and `bad` put a dot before it. Never the only carrier of a meaning.
    note
        A second, smaller line in HTML; in brackets in text.
    mark
        A word put behind the text in both forms (`best`).
    href
        An http(s) address that the text links to.
    """

    text: str
    tone: Tone = ""
    note: str = ""
    mark: str = ""
    href: str = ""

    @property
    def plain(self) -> str:
        """The cell in a terminal."""
        return " ".join(
            " ".join(visible(part).split())
            for part in (self.text, self.mark, f"({self.note})" if self.note else "")
            if part
        )

    def html(self) -> Markup:
        """The cell's content."""
        shown = link(self.href, self.text) if self.href else escape(self.text)
        if self.tone in ("good", "busy", "warn", "bad"):
            shown = tag("span", tag("span", cls="dot"), shown, cls=f"state {self.tone}")
        elif self.tone == "muted":
            shown = tag("span", shown, cls="muted")
        mark = Markup(f" {escape(self.mark)}") if self.mark else None
        return Markup(f"{shown}{mark or ''}{tag('small', self.note) if self.note else ''}")


@dataclass(frozen=True)
class Column:
    """A column: its title, its unit (a second line of the head), how it is aligned, and whether it may wrap.

    HTML wraps as the page wants; text on a terminal that is narrower than the table. In a pipe or a file a row is one
    line, for grep and awk, unless the table says how wide it may be at most, as one of sentences does.
    """

    title: str
    unit: str = ""
    align: Literal["left", "right"] = "left"
    wrap: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells under columns, with a caption above and notes below."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell | str]]
    caption: str = ""
    notes: Sequence[str] = field(default_factory=tuple)
    empty: str = "nothing to show"
    widest: int | None = None  # columns of its text where no terminal bounds it; `READABLE` for sentences

    def html(self) -> Markup:
        """The table as markup, to be put on a page or into a report."""
        if not self.rows:
            return tag("p", self.empty, cls="muted")
        head = tag("tr", *(self._head(column) for column in self.columns))
        body = [tag("tr", *(self._data(*pair) for pair in zip(self.columns, row, strict=True))) for row in self.rows]
        caption = tag("caption", self.caption) if self.caption else None
        table = tag("div", tag("table", caption, tag("thead", head), tag("tbody", *body)), cls="scroll")
        return Markup(table + "".join(tag("p", note, cls="muted") for note in self.notes))

    def __str__(self) -> str:
        return self.plain(_terminal() or self.widest)

    def plain(self, room: int | None = None) -> str:
        """The table as text, no wider than `room` terminal columns (None: as wide as it is) where its columns wrap."""
        if not self.rows:
            return self.empty
        titles = [f"{column.title} {column.unit}".strip() for column in self.columns]
        lines = [titles, *([_cell(value).plain for value in row] for row in self.rows)]
        widths = [max(_width(line[place]) for line in lines) for place in range(len(titles))]
        if room is not None:
            widths = _narrowed(widths, self.columns, room)
        written = [
            "  ".join(map(_pad, part, widths, self.columns)).rstrip()
            for line in lines
            for part in _wrapped(line, widths)
        ]
        rule = "  ".join("─" * width for width in widths)
        head = len(list(_wrapped(titles, widths)))
        caption = [self.caption] if self.caption else []
        return "\n".join([*caption, *written[:head], rule, *written[head:], *self.notes])

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/html": page(self.html()), "text/plain": str(self)}

    def _head(self, column: Column) -> Markup:
        unit = tag("small", column.unit) if column.unit else None
        return tag("th", column.title, unit, cls="r" if column.align == "right" else "", scope="col")

    def _data(self, column: Column, value: Cell | str) -> Markup:
        cell = _cell(value)
        tone = cell.tone if cell.tone in ("best", "worse", "flag") else ""
        classes = " ".join(filter(None, ["r" if column.align == "right" else "", "wrap" if column.wrap else "", tone]))
        return tag("td", cell.html(), cls=classes)


def _cell(value: Cell | str) -> Cell:
    return value if isinstance(value, Cell) else Cell(value)


def _width(text: str) -> int:
    """Columns of a terminal that a text takes: wide characters two, combining ones none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def _terminal() -> int | None:
    """Columns of the terminal that is written to; None for a notebook, a pipe and a file."""
    out = sys.stdout
    return shutil.get_terminal_size().columns if out is not None and out.isatty() else None


def _narrowed(widths: Sequence[int], columns: Sequence[Column], room: int) -> list[int]:
    """Widths that fit in `room`: columns that wrap share what the others leave, and none gets less than it can use."""
    given = list(widths)
    left = (
        room
        - 2 * (len(widths) - 1)
        - sum(width for width, column in zip(widths, columns, strict=True) if not column.wrap)
    )
    open_ = sorted((place for place, column in enumerate(columns) if column.wrap), key=lambda place: widths[place])
    for done, place in enumerate(open_):
        given[place] = min(widths[place], max(_NARROWEST, left // (len(open_) - done)))
        left -= given[place]
    return given


def _wrapped(line: Sequence[str], widths: Sequence[int]) -> Iterator[tuple[str, ...]]:
    """A row as the lines it takes: cells that are too wide go on below themselves."""
    return zip_longest(*map(_folded, line, widths), fillvalue="")


def _folded(text: str, width: int) -> list[str]:
    """A cell in lines of `width`; `%llm` stays with its verb, or a command line could not say it in its own words."""
    if _width(text) <= width:
        return [text]
    parts = textwrap.wrap(text.replace("%llm ", "%llm\xa0"), width, break_on_hyphens=False)
    return [part.replace("\xa0", " ") for part in parts]


def _pad(text: str, width: int, column: Column) -> str:
    space = " " * (width - _width(text))
    return space + text if column.align == "right" else text + space
