"""How a calibration looks: the verdict in words, then the client's figures beside the server's own.

Views stand below `api`, so this reads plain data (`Calibration.data`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llm_magics.views.card import Card
from llm_magics.views.markup import Markup, join, tag
from llm_magics.views.table import Cell, Column, Table


class CalibrationCard(Card):
    """A calibration as it is shown."""

    def __init__(self, data: Mapping[str, Any], notes: Sequence[str]) -> None:
        self.found = data
        self.notes = notes

    def html(self) -> Markup:
        """The card as markup."""
        return join(
            tag("div", self.found["verdict"], cls="title"),
            self._table().html(),
            *(tag("p", note, cls="muted") for note in self.notes),
        )

    def __str__(self) -> str:
        return "\n".join([self.found["verdict"], "", str(self._table()), "", *self.notes])

    def _table(self) -> Table:
        data = self.found
        rows = [
            ("TTFT, mean", f"{data['true_ttft'] * 1e3:.2f} ms", f"{data['ttft_error'] * 1e3:+.2f} ms", "within 0.5 ms"),
            ("TTFT, p99", "", f"{data['ttft_error_p99'] * 1e3:+.2f} ms", "within 2 ms"),
            ("TPOT, mean", f"{data['true_tpot'] * 1e3:.3f} ms", f"{data['tpot_error'] * 1e2:+.3f} %", "within 0.1 %"),
            ("core", "", f"{data['core'] * 1e2:.0f} % ({data['us_per_chunk']:.1f} µs a chunk)", "under 70 %"),
            ("loop lag, p99", "", f"{data['loop_lag_p99'] * 1e3:.2f} ms", "under 1 ms"),
            ("send lag, p99", "", f"{data['send_lag_p99'] * 1e3:.2f} ms", ""),
            ("streams", f"{data['concurrency']}", f"{data['held']:.1f} held", "98 % or more"),
            ("requests", "", f"{data['requests']}, {data['chunks']} chunks", ""),
        ]
        columns = [Column(""), Column("true", align="right"), Column("client", align="right"), Column("good is")]
        return Table(columns, [[Cell(name), Cell(true), Cell(ours), Cell(good)] for name, true, ours, good in rows])
