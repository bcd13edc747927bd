"""How a Run draws itself (see `results.showing`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magics.views import audit, headline, run_tables
from llm_magics.views import format as fmt
from llm_magics.views.bundle import bundle
from llm_magics.views.markup import Markup, join, page, tag

if TYPE_CHECKING:
    from llm_magics.results.run import Run


class RunRenderer:
    """The views of a Run."""

    def figure(self, result: Run) -> Any:
        """The dashboard as a plotly Figure."""
        from llm_magics.views.figures.of_run import run_figure

        return run_figure(result)

    def bundle(self, result: Run, *, stills: bool = True) -> dict[str, Any]:
        """Figure, table and text in one mime bundle (`stills`: see `bundle.bundle`)."""
        figure = self.figure(result)
        told = result.words_told
        html = page(*fragments(result, figure, told=told))
        return bundle(figure, html, text(result, told=told), stills=stills)

    def text(self, result: Run) -> str:
        """What a terminal shows."""
        return text(result)

    def widget(self, result: Run) -> Any:
        """The table of goodput with live SLO sliders."""
        from llm_magics.views.widget import slo_widget

        return slo_widget({result.label: result})

    def report(self, result: Run, path: str | Path | None) -> Any:
        """The run as one HTML page."""
        from llm_magics.views.report import report

        return report(result, path)


def fragments(run: Run, figure: Any = None, *, told: bool = False) -> list[Markup | None]:
    """The run as HTML: who, what, a picture of the figure, the points, the flags where they were not told already."""
    from llm_magics.views.picture import picture

    head = tag(
        "div",
        tag("span", run.label, cls="title"),
        tag("span", headline.what(run), cls="muted"),
        tag("span", "partial", cls="flag") if run.partial else None,
        cls="head",
    )
    drawn = picture(figure, headline.of_run(run)) if figure is not None else None
    return [
        head,
        tag("p", _headline(run, told), cls="muted"),
        drawn,
        run_tables.points(run).html(),
        run_tables.server_side(run).html() if run.header.get("watched") else None,
        audit.html(run),
        None if told else flag_list(run.flags),
    ]


def _headline(run: Run, told: bool) -> str:
    """What was sent and what came of it; where a search's answer was told already, what was sent."""
    return headline.sent(run) if told and run.search is not None else headline.of_run(run)


def flag_list(flags: list[str]) -> Markup | None:
    """What a reader must know before believing the figures."""
    if not flags:
        return None
    return join(*(tag("p", tag("span", "!", cls="flag"), " ", fmt.visible(flag)) for flag in flags))


def text(run: Run, *, told: bool = False) -> str:
    """The run as text; without its flags where they were told already."""
    parts = (run.label, headline.what(run), f"run {run.id}", "PARTIAL" if run.partial else "")
    head = " · ".join(part for part in parts if part)
    flags = [] if told else [f"! {flag}" for flag in run.flags]
    client = audit.text(run)
    server = ["", str(run_tables.server_side(run)), ""] if run.header.get("watched") else []
    lines = [
        head,
        _headline(run, told),
        "",
        str(run_tables.points(run)),
        *server,
        *([client] if client else []),
        *flags,
    ]
    return fmt.visible("\n".join(lines))
