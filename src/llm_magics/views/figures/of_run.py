"""The figure of a run: the sweep, the latencies behind it, what happened when, and the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llm_magics.results.columns import OK, Columns
from llm_magics.views import headline, palette, run_tables
from llm_magics.views.figures import distribution, grid
from llm_magics.views.figures.board import Board, plain
from llm_magics.views.figures.load_axis import chosen
from llm_magics.views.figures.server_side import server_row, worth_drawing
from llm_magics.views.figures.throughput_latency import throughput_latency
from llm_magics.views.figures.timeline import timeline

if TYPE_CHECKING:
    from llm_magics.results.run import Run

PANEL = 220  # px


def run_figure(run: Run, *, bare: bool = False) -> Any:
    """A run as a plotly Figure.

    Several points: throughput, TTFT and TPOT against the load, then distributions and the timeline. One point: the
    distributions side by side, then the timeline. Below them, where the server was watched, its side. Runs of which
    only summaries exist (imports) have no lower half. A `bare` figure has no title and no table: it stands on a page
    that has them.
    """
    points = run.points
    table = run_tables.points(run, brief=True)
    panels = 2 if len(run.measured) else int(len(points) > 1)
    if len(points) == 1 and len(run.header.get("rounds") or ()) > 1:
        panels = 1
    # pooled rounds have a clock each: their samples are no line
    server = len(run.header.get("rounds") or ()) < 2 and worth_drawing(points, run.server_samples)
    panels += server
    rows = [PANEL] * panels + [grid.height(table)] * (not bare)
    rows = rows or [1]  # a bare figure of a run that measured nothing
    board = Board(_title(run), plain(headline.of_run(run), 160), rows, table=True)
    if bare:
        board = Board("", "", rows)
    if len(points) > 1:
        throughput_latency(board, 0, points, run.slo, run.search)
    if len(run.measured):
        _lower_half(board, run)
    if server:
        server_row(board, panels - 1, points, run.server_samples, run.header.get("exports") or ())
    if not bare:
        grid.grid(board, len(rows) - 1, table)
    return board.figure()


def _title(run: Run) -> str:
    name = f"<b>{plain(run.label)}</b>"
    title = f"{name} {plain(headline.what(run))}"
    return f'{title}  <span style="color:{palette.WARN}"><b>partial</b></span>' if run.partial else title


def _lower_half(board: Board, run: Run) -> None:
    """Distributions and, where one clock ran through, the timeline. A run pooled from rounds has a clock for each."""
    points = [run.points[place] for place in chosen(len(run.points))]
    names = [str(point.get("label") or "load") for point in points]
    colours = [palette.series(place) for place in chosen(len(run.points))]
    samples = {key: [_samples(run.at(point["point"]), key) for point in points] for key in distribution.METRICS}
    one_clock = len(run.header.get("rounds") or ()) < 2
    if len(run.points) == 1:
        distribution.side_by_side(board, 0, samples, names, colours, run.slo)
    elif one_clock:
        distribution.switched(board, 1, (0, 0.4), samples, names, colours, run.slo)
    else:
        distribution.side_by_side(board, 1, samples, names, colours, run.slo)
    if one_clock:
        starts = [_start(run, int(point["point"])) for point in run.points]
        kept = [(starts[place], run.points[place], palette.series(place)) for place in range(len(starts))]
        # in the order of time, which is not that of a search's points
        moments = sorted(
            (start, str(point.get("label") or ""), colour) for start, point, colour in kept if start is not None
        )
        timeline(board, 1, (0.5 if len(run.points) > 1 else 0, 0.96), run.columns, run.server_samples, moments)


def _start(run: Run, point: int) -> float | None:
    """When a point began: its earliest intended request, s."""
    times = run.columns.intended[run.columns.point == point]
    return float(np.nanmin(times)) if len(times) else None


def _samples(columns: Columns, key: str) -> NDArray[np.float64]:
    values: NDArray[np.float64] = getattr(columns, key)[columns.status == OK]
    return values
