"""The figure of a run: the sweep, the latencies behind it, what happened when, and the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llm_magics.results.columns import OK, Columns
from llm_magics.views import headline, palette, tables
from llm_magics.views.figures import distribution, grid
from llm_magics.views.figures.board import Board, plain
from llm_magics.views.figures.load_axis import short_label
from llm_magics.views.figures.throughput_latency import throughput_latency
from llm_magics.views.figures.timeline import timeline

if TYPE_CHECKING:
    from llm_magics.results.run import Run

PANEL = 220  # px


def run_figure(run: Run) -> Any:
    """A run as a plotly Figure.

    Several points: throughput, TTFT and TPOT against the load, then distributions and the timeline. One point: the
    distributions side by side, then the timeline. Runs of which only summaries exist (imports) have no lower half.
    """
    points = run.points
    names = [short_label(point) for point in points]
    colours = [palette.series(number) for number in range(len(points))]
    table = tables.points(run, brief=True)
    panels = 2 if len(run.measured) else int(len(points) > 1)
    rows = [PANEL] * panels + [grid.height(table)]
    board = Board(_title(run), plain(headline.of_run(run), 160), rows, table=True)
    if len(points) > 1:
        throughput_latency(board, 0, points, run.slo)
    if len(run.measured):
        samples = {key: [_samples(run.at(point["point"]), key) for point in points] for key in distribution.METRICS}
        if len(points) > 1:
            distribution.switched(board, 1, (0, 0.4), samples, names, colours, run.slo)
            timeline(board, 1, (0.5, 0.96), run.columns, run.server_samples, _starts(run, names, colours))
        else:
            distribution.side_by_side(board, 0, samples, names, colours, run.slo)
            timeline(board, 1, (0, 0.96), run.columns, run.server_samples, _starts(run, names, colours))
    grid.grid(board, len(rows) - 1, table)
    return board.figure()


def _title(run: Run) -> str:
    name = f"<b>{plain(run.label)}</b>"
    title = f"{name} {plain(headline.what(run))}"
    return f'{title}  <span style="color:{palette.WARN}"><b>partial</b></span>' if run.partial else title


def _starts(run: Run, names: list[str], colours: list[str]) -> list[tuple[float, str, str]]:
    """When each point began, from its earliest intended request."""
    found = []
    for point, name, colour in zip(run.points, names, colours, strict=True):
        times = run.columns.intended[run.columns.point == point["point"]]
        if len(times):
            found.append((float(np.nanmin(times)), name, colour))
    return found


def _samples(columns: Columns, key: str) -> NDArray[np.float64]:
    values: NDArray[np.float64] = getattr(columns, key)[columns.status == OK]
    return values
