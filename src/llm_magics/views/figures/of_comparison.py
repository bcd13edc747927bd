"""The figure of a comparison: every side over the load with intervals, their distributions, and the differences."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llm_magics.results.columns import OK
from llm_magics.views import comparison_table, headline, palette
from llm_magics.views import format as fmt
from llm_magics.views.figures import distribution, grid
from llm_magics.views.figures.board import SIDES, Board, Panel, plain, spans
from llm_magics.views.figures.differences import differences
from llm_magics.views.figures.load_axis import load_axis

if TYPE_CHECKING:
    from llm_magics.results.comparison import Comparison

PANEL = 220  # px
TITLED = 70  # characters of a line of the title
LINES = 3  # of it, at most

Summary = Mapping[str, Any]


def comparison_figure(comparison: Comparison, *, bare: bool = False) -> Any:
    """A comparison of runs as a plotly Figure; of answers, their speed as bars.

    A `bare` figure has no headline and no table: it stands on a page that has them.
    """
    if comparison.answers:
        return _of_answers(comparison)
    colours = {label: palette.series(number) for number, label in enumerate(comparison.labels)}
    table = comparison_table.comparison(comparison, brief=True)
    whole = bool(comparison.points) and all(len(run.measured) for run in comparison.runs.values())
    rows = [PANEL] * (bool(comparison.points) + whole) + [grid.height(table)] * (not bare)
    legend = _subtitle(comparison, colours, caveats=not bare)
    said = plain(comparison.verdict.headline, LINES * TITLED - 20)
    title = "<br>".join(textwrap.wrap(said, TITLED, break_long_words=False))
    board = Board(f"<b>{title}</b>", legend, rows, table=True)
    if bare:
        board = Board(legend, "", rows)
    if comparison.points:
        _curves(board, comparison, colours)
    if whole:
        _distributions(board, comparison, colours)
        differences(board, 1, (0.53, 1), comparison.effects, colours)
    if not bare:
        grid.grid(board, len(rows) - 1, table)
    return board.figure()


def _curves(board: Board, comparison: Comparison, colours: Mapping[str, str]) -> None:
    sides = {label: _summaries(comparison, label) for label in comparison.labels}
    positions, title, axis = load_axis(next(iter(sides.values())))
    steady = "  steady" if comparison.throughput.startswith("steady") else ""
    panels = ((f"<b>Output throughput</b>{steady}", "tok/s", (comparison.throughput,)), *_LATENCIES)
    for (heading, unit, metrics), span in zip(panels, spans(3), strict=True):
        panel = board.panel(0, *span, heading, x=title, y=unit, xaxis=axis)
        for number, (label, points) in enumerate(sides.items()):
            for style, metric in zip(("solid", "dot"), metrics, strict=False):
                _curve(panel, comparison, label, metric, positions, points, colours[label], number, style)
        slo = next(iter(comparison.runs.values())).slo.get(metrics[0].split("_")[1], None)
        if slo is not None:
            values = [point.get(metric) or 0.0 for points in sides.values() for point in points for metric in metrics]
            panel.level(slo * 1000, f"SLO {fmt.latency(slo)}", max(values))


def _curve(
    panel: Panel, comparison: Comparison, label: str, metric: str, positions: Sequence[Any], points: Sequence[Summary],
    colour: str, number: int, style: str,
) -> None:  # fmt: skip
    values = [point.get(metric) for point in points]
    bounds = [comparison_table.interval(comparison, name, metric, label) for name in comparison.points]
    name = comparison_table.title(metric)
    main = style == "solid"
    trace: dict[str, Any] = {}
    if main and any(bounds):
        above = [None if b is None or v is None else max(0.0, b[1] - v) for v, b in zip(values, bounds, strict=True)]
        below = [None if b is None or v is None else max(0.0, v - b[0]) for v, b in zip(values, bounds, strict=True)]
        trace["error_y"] = {
            "type": "data", "symmetric": False, "array": above, "arrayminus": below, "color": colour,
            "thickness": 1.5, "width": 3,
        }  # fmt: skip
    panel.add(
        x=list(positions),
        y=values,
        mode="lines+markers" if main else "lines",
        line={"color": colour} if main else {"color": colour, "width": 1.2, "dash": style},
        marker={"size": 8, "color": colour, "symbol": palette.symbol(number)},
        name=plain(label),
        hovertext=[
            f"{plain(label)}, {plain(where)}<br>{name} <b>{fmt.number(value)}</b>"
            + (f" [{fmt.number(b[0])}, {fmt.number(b[1])}]" if b else "")
            for where, value, b in zip(comparison.points, values, bounds, strict=True)
        ],
        hoverinfo="text",
        **trace,
    )


def _distributions(board: Board, comparison: Comparison, colours: Mapping[str, str]) -> None:
    """Each side's distribution at the heaviest shared load: there the sides differ most."""
    columns = []
    for label in comparison.labels:
        point = _summaries(comparison, label)[-1]
        taken = comparison.runs[label].at(point["point"])
        columns.append(taken.take(taken.status == OK))
    samples = {key: [getattr(each, key) for each in columns] for key in distribution.METRICS}
    slo = next(iter(comparison.runs.values())).slo
    distribution.switched(
        board, 1, (0, 0.4), samples, comparison.labels, list(colours.values()), slo, where=comparison.points[-1]
    )


def _summaries(comparison: Comparison, label: str) -> list[Summary]:
    """A side's points in the order of the comparison's."""
    by_label = {str(point["label"]): point for point in comparison.runs[label].points}
    return [by_label[name] for name in comparison.points]


def _subtitle(comparison: Comparison, colours: Mapping[str, str], *, caveats: bool) -> str:
    """The sides with their colours: the legend of the whole figure. A page that has the verdict has its caveats."""
    parts = []
    for label, run in comparison.runs.items():
        rounds = len(comparison.rounds[label])
        facts = (headline.what(run), f"{rounds} rounds" if rounds > 1 else "", "partial" if run.partial else "")
        about = plain(", ".join(fact for fact in facts if fact), 60) if len(comparison.runs) <= 3 else ""
        parts.append(f'<span style="color:{colours[label]}">━</span> <b>{plain(label)}</b> {about}')
    if caveats and comparison.flags:
        count = len(comparison.flags)
        parts.append(
            f'<span style="color:{palette.WARN}">{count} caveat{"s" if count > 1 else ""}, see .verdict</span>'
        )
    return SIDES.join(parts)


def _of_answers(comparison: Comparison) -> Any:
    board = Board("<b>Answers to one prompt</b>", "one prompt decides nothing about a server", [160])
    labels = [plain(label) for label in comparison.labels]
    answers = list(comparison.answers.values())
    colours = [palette.series(number) for number in range(len(labels))]
    figures = [
        ("<b>TTFT</b>  time to first token", "ms", [None if a.ttft is None else a.ttft * 1000 for a in answers]),
        ("<b>Speed</b>  of the whole answer", "tok/s", [answer.tokens_per_s for answer in answers]),
    ]
    for (heading, unit, values), span in zip(figures, spans(2, 0.12), strict=True):
        panel = board.panel(0, *span, heading, y=unit)
        panel.add("bar", x=labels, y=values, marker={"color": colours}, width=0.5, text=[fmt.number(v) for v in values],
                  hovertemplate=f"%{{x}}<br><b>%{{y:,.4~g}} {unit}</b><extra></extra>")  # fmt: skip
    return board.figure()


_LATENCIES = (
    ("<b>TTFT</b>  p50, dotted p99", "ms", ("median_ttft_ms", "p99_ttft_ms")),
    ("<b>TPOT</b>  p50, dotted p99", "ms", ("median_tpot_ms", "p99_tpot_ms")),
)
