"""How the feature matrix looks: engines as rows in a notebook, one block a feature in a terminal, changes marked.

A matrix of nine engines is wider than any screen; so the notebook's table has the marks and short words, the source of
a cell is its tooltip, and what the guide says differently stands below, in sentences.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

from llm_magics.views.markup import Markup, escape, page, tag
from llm_magics.views.table import READABLE, Cell, Column, Table

SIGNS = {"yes": "✓", "partly": "~", "no": "✗", "fact": ""}
_TONES = {"yes": "good", "partly": "warn", "no": "bad", "fact": ""}
MARKS = "✓ yes, ~ in part, ✗ no, no mark: a fact."
_LEGEND = f"{MARKS} * the guide (2024) says otherwise."
_CHANGES = {"outdated": "no longer holds", "more": "holds, and there is more now"}


class _Cell(Protocol):
    engine: str
    feature: str
    mark: Any
    text: str
    source: str
    date: str
    guide: str
    holds: Any
    why: str


class _Matrix(Protocol):
    engines: dict[str, str]
    features: dict[str, str]
    cells: Any
    compiled: str


class MatrixView:
    """A matrix (`advice.matrix.Matrix`) as it is shown."""

    def __init__(self, matrix: Any) -> None:
        self.matrix: _Matrix = matrix

    def __str__(self) -> str:
        columns = [
            Column("Engine"), Column("Now", wrap=True), Column("Guide (2024)", wrap=True), Column("Source", wrap=True),
        ]  # fmt: skip
        blocks = []
        for feature, title in self.matrix.features.items():
            rows: list[list[Cell | str]] = [
                [name, f"{SIGNS[cell.mark]} {cell.text}".strip(), _guide(cell), f"{cell.source}, {cell.date}"]
                for engine, name in self.matrix.engines.items()
                if (cell := self.matrix.cells.get((feature, engine)))
            ]
            blocks.append(f"{title}\n{Table(columns, rows, widest=READABLE)}")
        return "\n\n".join([f"As of {self.matrix.compiled}. {_LEGEND}", *blocks, str(self.changes())])

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        title = tag("div", "Nine engines", cls="title")
        about = tag("p", f"As of {self.matrix.compiled}. {_LEGEND} The source of a cell is its tooltip.", cls="muted")
        return {"text/html": page(title, about, self._table(), self.changes().html()), "text/plain": str(self)}

    def _table(self) -> Markup:
        head = tag(
            "tr", tag("th", "", scope="col"), *(tag("th", name, scope="col") for name in self.matrix.engines.values())
        )
        rows = [
            tag(
                "tr",
                tag("th", title, scope="row"),
                *(self._cell(feature, engine) for engine in self.matrix.engines),
            )
            for feature, title in self.matrix.features.items()
        ]
        return tag("div", tag("table", tag("thead", head), tag("tbody", *rows), cls="cells"), cls="scroll")

    def _cell(self, feature: str, engine: str) -> Markup:
        cell: _Cell | None = self.matrix.cells.get((feature, engine))
        if cell is None:
            return tag("td", "")
        changed = "*" if cell.holds in _CHANGES else ""
        sign = tag("b", SIGNS[cell.mark], cls=_TONES[cell.mark])
        tip = f"{cell.source}, {cell.date}" + (f". The guide (2024): {cell.guide}" if cell.guide else "")
        return tag("td", sign, f" {changed}", tag("small", _breakable(cell.text)), title=tip)

    def changes(self) -> Table:
        """What the guide says that is otherwise now."""
        columns = [Column("Engine"), Column("Feature"), Column("Guide (2024)"), Column("Now", wrap=True)]
        rows: list[list[Cell | str]] = [
            [self.matrix.engines[cell.engine], self.matrix.features[cell.feature],
             Cell(cell.guide, "muted"), Cell(_CHANGES[cell.holds], note=cell.why)]
            for cell in self.matrix.cells.values()
            if cell.holds in _CHANGES
        ]  # fmt: skip
        title, none = "What changed since the guide", "Nothing changed since the guide."
        return Table(columns, rows, caption=title, empty=none, widest=READABLE)


class Inventory:
    """`%llm engines`: what is installed; in a notebook the matrix below it, which a terminal has no room for."""

    def __init__(self, installed: Table, matrix: Any) -> None:
        self.installed, self.matrix = installed, MatrixView(matrix)

    def __str__(self) -> str:
        return f"{self.installed}\n\nWhat each engine can: --matrix. What a running server answers: --probe NAME."

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        below = self.matrix._repr_mimebundle_()["text/html"]
        return {"text/html": page(self.installed.html()) + below, "text/plain": str(self)}


def _breakable(text: str) -> Markup:
    """Text whose long names (`response_format`) may go on in the next line at a joint, and no option after its `--`."""
    jointed = re.sub(r"(?<=\w)([_/=]+)(?=\w)", r"\1<wbr>", escape(text))
    return Markup(re.sub(r"(?<![\w-])--\w+", lambda option: tag("span", option[0], cls="whole"), jointed))


def _guide(cell: _Cell) -> str:
    if not cell.guide:
        return ""
    return f"{cell.guide} *" if cell.holds in _CHANGES else cell.guide
