"""How engines' releases look beside what is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llm_magics.views.format import NOTHING
from llm_magics.views.table import READABLE, Cell, Column, Table

_STATES = {
    "newest": ("newest", "good"),
    "outdated": ("newer is out", "warn"),
    "unknown": ("not known", "muted"),
}


def outdated(found: Sequence[Mapping[str, Any]]) -> Table:
    """One row an installed engine: installed, newest, what to read, what of its flags this adapter knows to change."""
    columns = [Column("Engine"), Column("Installed"), Column("Newest", wrap=True), Column("Release notes", wrap=True),
               Column("Flags that changed", wrap=True)]  # fmt: skip
    rows: list[list[Cell | str]] = []
    for each in found:
        text, tone = _STATES[each["state"]]
        flags = "; ".join(f"{flag}: {then}" for flag, then in each["flags"].items())
        where = each["notes"].removeprefix("https://").removesuffix("/releases")
        rows.append([
            Cell(each["title"], note=each["key"]), each["installed"],
            Cell(each["newest"] or NOTHING, tone=tone, note=": ".join(filter(None, [text, each["why"]]))),  # type: ignore[arg-type]
            Cell(where, href=each["notes"]), flags or "none that the adapter knows",
        ])  # fmt: skip
    return Table(columns, rows, empty="no engine is installed", widest=READABLE, notes=[
        "Flags are those that the adapters of this llm-magics know to be renamed or gone.",
        "%llm install ENGINE makes the environment anew with the version that this llm-magics was tested with.",
    ])  # fmt: skip
