"""How the answer of `%llm fit` looks: the verdict, where the memory goes, what fits at which context, what to change.

Views stand below `advice`, so this reads the answer's plain data (`Fit.data()`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_magics.views import format as fmt
from llm_magics.views import palette
from llm_magics.views.markup import Markup, join, page, tag
from llm_magics.views.table import READABLE, Cell, Column, Table

_PARTS = (("weights", "weights", palette.BLUE), ("overhead", "activations, graphs, runtime (estimate)", palette.SLATE),
          ("kv_room", "KV cache", palette.GOOD))  # fmt: skip


class FitCard:
    """A fit check as it is shown; `data` as `advice.fit.Fit.data` makes it."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data

    def __str__(self) -> str:
        data = self.data
        unknown = [f"Not known: {'; '.join(data['unknown'])}."] if data["unknown"] else []
        lines = [data["verdict"], *unknown, "", str(self._memory())]
        if data["kv_room"]:
            lines += ["", str(self._contexts())]
        if data["remedies"]:
            lines += ["", self._heading(), *(f"  {remedy}" for remedy in data["remedies"])]
        return "\n".join([*lines, "", *(f"{note}." for note in data["notes"]), f"Facts from {data['source']}."])

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/html": page(*self._fragments()), "text/plain": str(self)}

    def _fragments(self) -> list[Markup | None]:
        data = self.data
        remedies = None
        if data["remedies"]:
            each = [tag("li", tag("code", remedy)) for remedy in data["remedies"]]
            remedies = join(tag("p", self._heading()), tag("ul", *each))
        return [
            tag("div", data["verdict"], cls="title"),
            self._bar(),
            tag("p", f"Not known: {'; '.join(data['unknown'])}.") if data["unknown"] else None,
            self._memory().html(),
            remedies,
            self._contexts().html() if data["kv_room"] else None,
            tag("p", "; ".join(data["notes"]), f". Facts from {data['source']}.", cls="muted"),
        ]

    def _heading(self) -> str:
        return (
            "What makes it fit (one of these):"
            if not self.data["fits"]
            else "What holds all of them at once (one of these):"
        )

    def _bar(self) -> Markup:
        """Where the memory goes, as one bar; what is beyond the budget is cut off."""
        data, budget = self.data, max(1, self.data["budget"])
        left, parts = 1.0, []
        for key, name, colour in _PARTS:
            share = max(0.0, min(left, data[key] / budget))
            left -= share
            look = f"display:inline-block;height:12px;width:{share * 100:.2f}%;background:{colour}"
            parts.append(tag("span", title=f"{name}: {fmt.size(data[key])}", style=look))
        return tag("div", *parts, style=f"border:1px solid {palette.LINE};line-height:0;max-width:620px;margin:6px 0")

    def _memory(self) -> Table:
        data = self.data
        each = " of each GPU" if data["gpus"] > 1 else ""
        token = f"{data['kv_bytes_per_token']:,} bytes, {data['kv_cache_dtype']}"
        rows: list[list[Cell | str]] = [
            [f"memory{each}", fmt.size(data["memory"]), data["device"]],
            ["what the engine may take", fmt.size(data["budget"]), ""],
            ["weights", fmt.size(data["weights"]), data["weights_source"]],
            ["activations, graphs, runtime", fmt.size(data["overhead"]), "estimate"],
            ["left for the KV cache", fmt.size(data["kv_room"]) if data["kv_room"] else Cell("nothing", "bad"),
             f"{data['tokens_in_cache']:,} tokens" if data["tokens_in_cache"] else ""],
            ["KV cache of one token", fmt.size(data["kv_bytes_per_token"]), token],
        ]  # fmt: skip
        return Table(
            [Column("Where it goes"), Column("Size", align="right"), Column("How it is known", wrap=True)],
            rows,
            widest=READABLE,
        )

    def _contexts(self) -> Table:
        columns = [Column("Context", "tokens", align="right"), Column("KV cache of one", align="right"),
                   Column("At once", "sequences", align="right")]  # fmt: skip
        rows: list[list[Cell | str]] = []
        for row in self.data["table"]:
            asked = "asked" if row["context"] == self.data["context"] else ""
            many = row["concurrency"]
            at_once = (
                Cell("does not fit", "bad") if many < 1 else Cell(f"{many:,.1f}" if many < 10 else f"{int(many):,}")
            )
            rows.append([Cell(f"{int(row['context']):,}", mark=asked), fmt.size(row["sequence"]), at_once])
        return Table(columns, rows)
