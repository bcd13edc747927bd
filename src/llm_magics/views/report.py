"""A result as one HTML file that can be sent to anybody: nothing is fetched from outside, it opens from a disk.

plotly.js is inlined once, from the installed plotly package. The page's content security policy forbids every request,
so that what was promised stays true whatever a model's name or a log line contains.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magics.errors import SpecError
from llm_magics.results.comparison import Comparison
from llm_magics.results.metrics import LATENCIES, METRICS
from llm_magics.results.run import Run
from llm_magics.results.sweep import Sweep
from llm_magics.views import comparison_table, headline, provenance, run_tables
from llm_magics.views import format as fmt
from llm_magics.views.bundle import plotly_json
from llm_magics.views.cards import AnswerCards
from llm_magics.views.comparisons import told_in
from llm_magics.views.figures import guide_charts
from llm_magics.views.figures.of_comparison import comparison_figure
from llm_magics.views.figures.of_run import run_figure
from llm_magics.views.markup import Markup, escape, join, style, tag
from llm_magics.views.runs import flag_list

if TYPE_CHECKING:
    Result = Run | Comparison | Sweep

# A figure inside a closed <details> has no width; it is drawn anew when that opens.
_OPENED = (
    "document.querySelectorAll('details').forEach(d=>d.addEventListener('toggle',"
    "()=>d.querySelectorAll('.js-plotly-plot').forEach(p=>Plotly.Plots.resize(p))));"
)

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"


def report(results: Result | Sequence[Result], path: str | Path | None = None, *, title: str = "") -> Path | str:
    """Runs and comparisons as one page.

    Parameters
    ----------
    results
        A `Run`, a `Comparison`, or a list of them.
    path
        Where the page is written; returned. Without one the page itself is returned.
    title
        The page's title; made from the results when left out.

    Raises
    ------
    SpecError
        When there is nothing to report, or the file cannot be written.
    """
    found = [results] if isinstance(results, (Run, Comparison, Sweep)) else list(results)
    if not found:
        raise SpecError("There is nothing to report.", then="give a run or a comparison")
    page = _page(found, title or _title(found))
    if path is None:
        return page
    path = Path(path).expanduser()
    try:
        path.write_text(page, "utf-8")
    except OSError as error:
        raise SpecError(f"The report cannot be written to {path}.", why=str(error)) from error
    return path


class _Plots:
    """The figures of a page: each a place in the text and a script at its end."""

    def __init__(self) -> None:
        self.drawn: list[dict[str, Any]] = []

    def place(self, figure: Any, description: str) -> Markup:
        """Where a figure will be drawn."""
        drawn = plotly_json(figure)
        self.drawn.append({**drawn, "config": {**drawn["config"], "responsive": True}})
        height = self.drawn[-1]["layout"].get("height", 400)
        about = {"aria-label": fmt.visible(description)}
        return tag("div", id=f"plot{len(self.drawn)}", style=f"height:{height}px", role="img", **about)

    def scripts(self) -> Markup:
        """plotly.js once, and a call for each figure."""
        if not self.drawn:
            return Markup("")
        from plotly.offline import get_plotlyjs

        calls = "".join(
            f"Plotly.newPlot('plot{number}',f.data,f.layout,f.config);".join((f"var f={_literal(drawn)};", "\n"))
            for number, drawn in enumerate(self.drawn, 1)
        )
        return Markup(f"<script>{get_plotlyjs()}</script>\n<script>{calls}{_OPENED}</script>")


def _page(results: Sequence[Result], title: str) -> str:
    plots = _Plots()
    body = [_part(result, plots, alone=len(results) == 1) for result in results]
    now = datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC")
    head = tag("header", tag("h1", title), tag("p", f"Measured with llm-magics · written {now}"))
    css = files("llm_magics.views").joinpath("report.css").read_text("utf-8")
    content = tag("main", head, *body, _definitions(results))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{style()}{css}</style></head><body>{content}{plots.scripts()}</body></html>\n"
    )


def _title(results: Sequence[Result]) -> str:
    first = results[0]
    if len(results) > 1:
        return f"{len(results)} measurements"
    if isinstance(first, Comparison):
        return (
            " and ".join(first.labels) + " side by side"
            if len(first.labels) < 4
            else f"{len(first.labels)} side by side"
        )
    if isinstance(first, Sweep):
        return f"{len(first.settings)} settings side by side"
    return f"Load test of {first.label}"


def _part(result: Result, plots: _Plots, *, alone: bool) -> Markup:
    if isinstance(result, Run):
        return _run(result, plots, heading="" if alone else result.label)
    if isinstance(result, Sweep):
        return _sweep(result, plots)
    if result.answers:
        return _answers(result)
    return _comparison(result, plots, heading="" if alone else ", ".join(result.labels))


def _run(run: Run, plots: _Plots, heading: str) -> Markup:
    partial = tag("p", "Partial: the run did not reach its end.", cls="flag") if run.partial else None
    return join(
        tag("h2", heading) if heading else None,
        _paragraph("lead", headline.of_run(run)),
        _root(partial) if partial else None,
        tag("div", plots.place(run_figure(run, bare=True), headline.of_run(run)), **{"class": "plot"}),
        _root(run_tables.points(run).html(), flag_list(run.flags)),
        *(
            [tag("h2", "The server's side"), _root(run_tables.server_side(run).html())]
            if run.header.get("watched")
            else []
        ),
        tag("h2", "Where this comes from"),
        _root(provenance.table({run.label: run}).html()),
    )


def _comparison(comparison: Comparison, plots: _Plots, heading: str) -> Markup:
    verdict = comparison.verdict
    each = [
        tag("details", tag("summary", f"{label} alone"),
            tag("div", plots.place(run_figure(run, bare=True), headline.of_run(run)), **{"class": "plot"}),
            _root(run_tables.points(run).html(), flag_list(run.flags)))
        for label, run in comparison.runs.items()
    ]  # fmt: skip
    return join(
        tag("h2", heading) if heading else None,
        _paragraph("lead", verdict.headline),
        _root(*told_in(verdict)),
        _root(flag_list(verdict.caveats)) if verdict.caveats else None,
        tag("div", plots.place(comparison_figure(comparison, bare=True), verdict.headline), **{"class": "plot"}),
        _root(comparison_table.comparison(comparison).html()),
        *_guide(comparison, plots),
        tag("h2", "Each side alone"),
        *each,
        tag("h2", "Where this comes from"),
        _root(provenance.table(comparison.runs).html()),
    )


def _sweep(sweep: Sweep, plots: _Plots) -> Markup:
    from llm_magics.views import sweeps
    from llm_magics.views.figures.pareto import sweep_figure

    best = sweep.best
    figure = (
        [tag("div", plots.place(sweep_figure(sweep, bare=True), best[0]), **{"class": "plot"})] if sweep.points else []
    )
    return join(
        _paragraph("lead", best[0]),
        _root(*(tag("p", each) for each in best[1:]), flag_list(sweep.flags)),
        *figure,
        _root(sweeps.table(sweep).html()),
        tag("h2", "Where this comes from"),
        _root(provenance.table(sweep.runs).html()),
    )


def _guide(comparison: Comparison, plots: _Plots) -> list[Markup]:
    """The guide's charts with what was measured here, where engines are compared."""
    figure = guide_charts.guide_figure(comparison)
    if figure is None:
        return []
    what = "Throughput, requests held at once, latency and set-up of each engine, beside the guide's figures of 2024"
    drawn = tag("div", plots.place(figure, what), **{"class": "plot"})
    return [tag("h2", "The guide's charts, measured"), drawn, _root(tag("p", guide_charts.NOTE, cls="muted"))]


def _answers(comparison: Comparison) -> Markup:
    cards = AnswerCards(comparison.prompt or "", comparison.answers, done=True)
    verdict = comparison.verdict
    return join(
        _paragraph("lead", verdict.headline),
        _root(cards.html()),
        _root(*told_in(verdict)),
    )


def _definitions(results: Sequence[Result]) -> Markup:
    """What each word of the page means, from the one place that defines it."""
    if all(isinstance(result, Comparison) and result.answers for result in results):
        return tag("footer", f"llm-magics on Python {platform.python_version()}")
    keys = ("output_throughput", "steady_output_throughput", "request_throughput", "goodput")
    words = [(METRICS[key].title, METRICS[key].formula) for key in keys]
    words += [LATENCIES[key] for key in ("ttft", "tpot", "itl", "e2el")]
    entries = [part for name, formula in words for part in (tag("dt", name), tag("dd", formula))]
    return tag(
        "footer",
        tag("b", "What the words mean"),
        tag("dl", *entries),
        tag("p", "Times are counted from the moment a request was meant to be sent. Tokens are counted by the server. "
                 "Intervals are 95 % bootstrap intervals."),
    )  # fmt: skip


def _root(*parts: object) -> Markup:
    return tag("div", *parts, cls="root")


def _paragraph(kind: str, text: str) -> Markup:
    return tag("p", fmt.visible(text), **{"class": kind})


def _literal(value: Any) -> str:
    """A value as JavaScript that cannot end its script element."""
    return (
        json.dumps(value, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    )
