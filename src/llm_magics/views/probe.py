"""What a running server really answers, as a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llm_magics.views.table import READABLE, Cell, Column, Table


def probed(name: str, tried: Iterable[Any]) -> Table:
    """`%llm engines --probe NAME`: what was tried (`advice.probe.Tried`), whether it works, what came back."""
    columns = [Column("What"), Column("Works"), Column("Tried"), Column("Answer", wrap=True)]
    rows: list[list[Cell | str]] = [
        [each.what, Cell("yes", "good") if each.works else Cell("no", "bad"), each.request, each.detail]
        for each in tried
    ]
    return Table(columns, rows, caption=f"What {name} answers", widest=READABLE)
