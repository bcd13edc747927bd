"""The guide's quick-reference matrix for all nine engines, kept true: every cell has a source and its date.

The cells are data (`matrix.yaml`). What the guide said in 2024 stands beside what is so now, with the reason where
the two differ; nothing of the guide is left out or silently corrected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

Mark = Literal["yes", "partly", "no", "fact"]
Holds = Literal["holds", "more", "outdated", ""]


@dataclass(frozen=True)
class Statement:
    """One cell.

    Attributes
    ----------
    engine, feature
        Keys.
    mark, text
        How it is now.
    source, date
        Where that was read: the version, and the file or page of it; and when it was looked at (month).
    guide, holds, why
        What the guide says (2024; empty when it says nothing), whether it still holds, and what changed.
    """

    engine: str
    feature: str
    mark: Mark
    text: str
    source: str
    date: str
    guide: str = ""
    holds: Holds = ""
    why: str = ""


@dataclass(frozen=True)
class Matrix:
    """All cells. `engines` and `features` are key -> title, in the guide's order; `compiled` is the day."""

    engines: dict[str, str]
    features: dict[str, str]
    cells: dict[tuple[str, str], Statement]
    compiled: str

    @property
    def changed(self) -> list[Statement]:
        """The guide's statements that no longer hold, or to which something came."""
        return [cell for cell in self.cells.values() if cell.holds in ("outdated", "more")]

    def data(self) -> dict[str, Any]:
        """The same as JSON: feature -> engine -> cell."""
        rows: dict[str, dict[str, Any]] = {}
        for (feature, engine), cell in self.cells.items():
            guide = {"says": cell.guide, "now": cell.holds, "why": cell.why} if cell.guide else None
            rows.setdefault(feature, {})[engine] = {
                "mark": cell.mark, "text": cell.text, "source": cell.source, "date": cell.date, "guide": guide,
            }  # fmt: skip
        return {"compiled": self.compiled, "engines": self.engines, "features": self.features, "cells": rows}

    def __str__(self) -> str:
        from llm_magics.views.matrix import MatrixView

        return str(MatrixView(self))

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        from llm_magics.views.matrix import MatrixView

        return MatrixView(self)._repr_mimebundle_()


@cache
def matrix() -> Matrix:
    """The matrix as it was compiled."""
    import yaml

    # YAML 1.1 would read the mark `yes` as true.
    data = yaml.load(files("llm_magics.advice").joinpath("matrix.yaml").read_text("utf-8"), Loader=yaml.BaseLoader)  # noqa: S506 - makes strings only
    cells = {}
    for feature in data["features"]:
        said = feature.get("guide", {})
        for engine, (mark, text, source, *at) in feature["cells"].items():
            guide = said.get(engine, {})
            cells[feature["key"], engine] = Statement(
                engine, feature["key"], mark, text, *cited(data["sources"][source], *at),
                guide.get("says", ""), guide.get("now", ""), guide.get("why", ""),
            )  # fmt: skip
    titles = {feature["key"]: feature["title"] for feature in data["features"]}
    return Matrix(dict(data["engines"]), titles, cells, data["compiled"])


def cited(source: Mapping[str, str], at: str = "") -> tuple[str, str]:
    """A source in words, the version and the place in it, and the month in which it was looked at."""
    return f"{source['title']}: {at}" if at else source["title"], source["date"]
