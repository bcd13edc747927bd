"""How a Sweep draws itself (see `results.showing`): the Pareto plot, the best settings in words, the table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magics.results.metrics import METRICS
from llm_magics.results.sweep import REQUESTS
from llm_magics.views import format as fmt
from llm_magics.views.bundle import bundle
from llm_magics.views.markup import Markup, page, tag
from llm_magics.views.runs import flag_list
from llm_magics.views.table import Cell, Column, Table

if TYPE_CHECKING:
    from llm_magics.results.sweep import Point, Sweep

_FIGURES = (
    ("output_throughput", "Output", "tok/s"),
    ("request_throughput", "Requests", "req/s"),
    ("median_ttft_ms", "TTFT p50", "ms"),
    ("p99_ttft_ms", "TTFT p99", "ms"),
    ("median_tpot_ms", "TPOT p50", "ms"),
    ("median_e2el_ms", "E2E p50", "ms"),
    ("goodput", "Goodput", ""),
    ("dollars_per_million_output_tokens", "Million tokens", "$"),
    ("output_tokens_per_joule", "Energy", "tok/J"),
)
_BRIEF = 12  # rows of the table in a figure


class SweepRenderer:
    """The views of a Sweep."""

    def figure(self, result: Sweep) -> Any:
        """The Pareto plot as a plotly Figure."""
        from llm_magics.views.figures.pareto import sweep_figure

        return sweep_figure(result)

    def bundle(self, result: Sweep) -> dict[str, Any]:
        """Figure, table and text in one mime bundle."""
        told = result.words_told
        figure = self.figure(result) if result.points else None
        return bundle(figure, page(*fragments(result, figure, told=told)), text(result, told=told))

    def text(self, result: Sweep) -> str:
        """What a terminal shows."""
        return text(result)

    def widget(self, result: Sweep) -> Any:
        """The table of goodput with live SLO sliders."""
        from llm_magics.views.widget import slo_widget

        return slo_widget(result.runs)

    def report(self, result: Sweep, path: str | Path | None) -> Any:
        """The sweep as one HTML page: its runs side by side, under its words."""
        from llm_magics.views.report import report

        return report(result, path)


def table(sweep: Sweep, *, brief: bool = False) -> Table:
    """A row for each setting and load; `brief` keeps the front and each setting's best where there are many."""
    front = {(point.setting, point.load) for point in sweep.front()}
    points = sweep.points
    if brief and len(points) > _BRIEF:
        best = {
            label: max(_of(points, label), key=lambda each: each.value(sweep.gain) or 0.0)
            for label in sweep.runs
            if _of(points, label)
        }
        kept = [point for point in points if (point.setting, point.load) in front or point in best.values()]
        points = kept[:_BRIEF]
    known = [
        each
        for each in _FIGURES
        if any(point.value(each[0]) is not None for point in points) and (each[0] != REQUESTS or sweep.gain == REQUESTS)
    ]
    columns = [Column("Setting"), Column("Load"), *(Column(title, unit, align="right") for _, title, unit in known)]
    rows: list[list[Cell | str]] = []
    for point in points:
        on_front = (point.setting, point.load) in front
        row: list[Cell | str] = [point.setting, Cell(point.load, "best", mark="front") if on_front else point.load]
        row += [
            fmt.percent(point.value(key)) if key == "goodput" else fmt.number(point.value(key)) for key, *_ in known
        ]
        rows.append(row)
    more = METRICS[sweep.gain].title
    more = f"{more[0].lower()}{more[1:]}"
    notes = [f"front: no other point has more {more} without a longer E2E p50"] if rows and not brief else []
    return Table(columns, rows, notes=notes, empty="No setting answered anything.")


def fragments(sweep: Sweep, figure: Any = None, *, told: bool = False) -> list[Markup | None]:
    """The sweep as HTML: the words, a picture of the figure, the table, what makes it weak.

    `told`: the words and what makes it weak stand above it already (see `words`).
    """
    from llm_magics.views.picture import picture

    words = sweep.best
    drawn = picture(figure, words[0]) if figure is not None else None
    if told:
        return [drawn, table(sweep).html()]
    said = [tag("p", sentence) for sentence in words[1:]]
    return [tag("div", words[0], cls="title"), *said, drawn, table(sweep).html(), flag_list(sweep.flags)]


def text(sweep: Sweep, *, told: bool = False) -> str:
    """The sweep as text; its table alone where the words were told already."""
    if told:
        return fmt.visible(str(table(sweep)))
    flags = [f"! {flag}" for flag in sweep.flags]
    return fmt.visible("\n".join([*sweep.best, "", str(table(sweep)), *flags]))


def _of(points: list[Point], label: str) -> list[Point]:
    return [point for point in points if point.setting == label]
