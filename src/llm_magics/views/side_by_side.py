"""How engines look side by side: their features, the guide's claims with what is so now, when to choose which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_magics.views import format as fmt
from llm_magics.views.markup import Markup, page, tag
from llm_magics.views.matrix import MARKS, SIGNS, MatrixView
from llm_magics.views.table import READABLE, Cell, Column, Table, Tone

HOLDS: Mapping[str, tuple[str, Tone]] = {
    "yes": ("holds", "good"), "partly": ("in part", "warn"), "no": ("no longer", "bad"),
}  # fmt: skip
_FIGURES = "The guide's figures (2024); the report of %%compare --engines draws them beside what is measured"


class SideBySideView:
    """Engines side by side (`advice.guide.SideBySide`) as they are shown."""

    def __init__(self, found: Any) -> None:
        self.found = found

    def __str__(self) -> str:
        tables = self._tables()[1:]  # a terminal has no room for features side by side
        return "\n\n".join([str(MatrixView(self.found.matrix)), *(f"{title}\n{table}" for title, table in tables)])

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        parts: list[Markup] = [tag("div", " beside ".join(self.found.engines.values()), cls="title")]
        for title, table in self._tables():
            parts += [tag("p", tag("b", title)), table.html()]
        parts.append(tag("p", f"As of {self.found.matrix.compiled}; the guide is of 2024. {MARKS}", cls="muted"))
        return {"text/html": page(*parts), "text/plain": str(self)}

    def _tables(self) -> list[tuple[str, Table]]:
        made = [("What they can", self._features())]
        if self.found.situations:
            made.append(("When to choose, says the guide (2024), and what is so now", self._situations()))
        if self.found.claims:
            made.append(("Strengths, says the guide (2024), and what is so now", self._claims()))
        if self.found.others:
            made.append(("What the guide (2024) says of them, and what is so now", self._others()))
        if self.found.figures:
            made.append((_FIGURES, self._figures()))
        return made

    def _features(self) -> Table:
        own = self.found.matrix
        rows: list[list[Cell | str]] = []
        for feature, title in own.features.items():
            cells = [own.cells[feature, engine] for engine in self.found.engines]
            said = (Cell(f"{SIGNS[cell.mark]} {cell.text}".strip(), note=_guide(cell)) for cell in cells)
            rows.append([title, *said])
        return Table(
            [Column("Feature"), *(Column(name, wrap=True) for name in self.found.engines.values())],
            rows,
            widest=READABLE,
        )

    def _situations(self) -> Table:
        rows: list[list[Cell | str]] = [
            [
                each.case,
                each.best,
                Cell(*HOLDS[each.holds]),
                Cell(each.now, note=f"{_rules(each)}; {each.source}, {each.date}"),
            ]
            for each in self.found.situations
        ]
        return Table(
            [Column("Use case"), Column("The guide"), Column("Holds"), Column("Now", wrap=True)], rows, widest=READABLE
        )

    def _claims(self) -> Table:
        rows: list[list[Cell | str]] = [
            [self.found.engines[each.engine], each.says, Cell(*HOLDS[each.holds]),
             Cell(each.now, note=f"{each.source}, {each.date}")]
            for each in self.found.claims
        ]  # fmt: skip
        columns = [Column("Engine"), Column("The guide", wrap=True), Column("Holds"), Column("Now", wrap=True)]
        return Table(columns, rows, widest=READABLE)

    def _others(self) -> Table:
        rows: list[list[Cell | str]] = [
            [self.found.engines[each.engine], f"{each.focus}. {each.strength}. Use when: {each.when}",
             Cell(*HOLDS[each.holds]), Cell(each.now, note=f"{each.source}, {each.date}")]
            for each in self.found.others
        ]  # fmt: skip
        columns = [Column("Engine"), Column("The guide", wrap=True), Column("Holds"), Column("Now", wrap=True)]
        return Table(columns, rows, widest=READABLE)

    def _figures(self) -> Table:
        rows: list[list[Cell | str]] = [
            [each.chart, ", ".join(f"{name} {fmt.number(value)}" for name, value in each.values.items())]
            for each in self.found.figures
        ]
        return Table([Column("Chart"), Column("The guide's figures", wrap=True)], rows, widest=READABLE)


def _guide(cell: Any) -> str:
    changed = cell.holds in ("outdated", "more")
    return f"the guide: {cell.guide}; {cell.why}" if changed else ""


def _rules(situation: Any) -> str:
    said = ", ".join(f"{key}: {value}" for key, value in situation.answers.items())
    return f"%llm recommend ({said}): {', then '.join(situation.first)}"
