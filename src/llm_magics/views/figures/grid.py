"""A table as the last row of a figure: JupyterLab shows one form of a result, so the numbers must stand there too."""

from __future__ import annotations

from typing import Any

from llm_magics.views import palette
from llm_magics.views.figures.board import Board, plain
from llm_magics.views.format import NOTHING
from llm_magics.views.table import Cell, Table

LINE = 27  # px
HEAD = 27
UNBROKEN = 24  # characters of a text that stays in one line
PADDING = 2.5  # characters that are as wide as what Plotly leaves free beside a text: 16 px

_TONES = {"best": palette.GOOD, "good": palette.GOOD, "worse": palette.BAD, "bad": palette.BAD, "flag": palette.WARN}


def height(table: Table) -> int:
    """Pixels that a table takes in a figure."""
    return HEAD + LINE * len(table.rows) + 8


def grid(board: Board, row: int, table: Table) -> None:
    """Draw a table over the whole width of a row of the board."""
    bottom, top = board.place(row)
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in line] for line in table.rows]
    columns = list(zip(*cells, strict=True)) or [() for _ in table.columns]
    align = [column.align for column in table.columns]
    units = [column.unit for column in table.columns]
    texts = [[_text(cell, unit) for cell in column] for column, unit in zip(columns, units, strict=True)]
    colours = [_colours([_TONES.get(cell.tone, palette.TEXT) for cell in column]) for column in columns]
    heads = [_whole(plain(column.title)) for column in table.columns]
    look = {"align": align, "fill": {"color": palette.CLEAR}, "line": {"color": palette.CLEAR, "width": 0}}
    trace: dict[str, Any] = {
        "type": "table",
        "columnwidth": [PADDING + max(map(len, (head, *shown))) for head, shown in zip(heads, texts, strict=True)],
        "domain": {"x": [0, 1], "y": [bottom, top]},
        "header": {**look, "values": heads, "height": HEAD, "font": {"size": 11, "color": palette.TEXT}},
        "cells": {**look, "values": texts, "height": LINE, "font": {"size": 11, "color": colours}},
    }
    board.traces.append(trace)
    y = round(top - HEAD / board.inner, 4)
    board.shapes.append(
        {"type": "line", "xref": "paper", "yref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y,
         "line": {"color": palette.LINE, "width": 1}}
    )  # fmt: skip


def _colours(column: list[str]) -> list[str]:
    """A column's colours; one stands for all, Plotly repeats the last."""
    return column[:1] if len(set(column)) == 1 else column


def _text(cell: Cell, unit: str) -> str:
    """A cell with its unit: a head of two lines is not aligned well by Plotly."""
    value = f"{cell.text} {unit}" if unit and cell.text != NOTHING else cell.text
    return _whole(plain(f"{value} {cell.mark}".strip()))


def _whole(text: str) -> str:
    """A short text that is not broken: a row that is higher than the others pushes the last ones out of the figure."""
    return text.replace(" ", "\u00a0") if len(text) <= UNBROKEN else text
