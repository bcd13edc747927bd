"""How a Comparison draws itself (see `results.showing`): runs as figure and table, answers as cards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magics.views import comparison_table, headline, palette
from llm_magics.views import format as fmt
from llm_magics.views.bundle import bundle
from llm_magics.views.cards import AnswerCards
from llm_magics.views.markup import Markup, page, tag
from llm_magics.views.runs import flag_list

if TYPE_CHECKING:
    from llm_magics.results.comparison import Comparison
    from llm_magics.results.verdict import Verdict


class ComparisonRenderer:
    """The views of a Comparison."""

    def figure(self, result: Comparison) -> Any:
        """The sides over the load with their intervals, as a plotly Figure."""
        from llm_magics.views.figures.of_comparison import comparison_figure

        return comparison_figure(result)

    def bundle(self, result: Comparison) -> dict[str, Any]:
        """Figure, table and text in one mime bundle; answers have no figure: their words are the result."""
        if result.answers:
            return bundle(None, page(*fragments(result)), text(result))
        figure = self.figure(result)
        told = result.words_told
        return bundle(figure, page(*fragments(result, figure, told=told)), text(result, told=told))

    def text(self, result: Comparison) -> str:
        """What a terminal shows."""
        return text(result)

    def widget(self, result: Comparison) -> Any:
        """The table of goodput with live SLO sliders."""
        from llm_magics.views.widget import slo_widget

        return slo_widget(result.runs)

    def report(self, result: Comparison, path: str | Path | None) -> Any:
        """The comparison as one HTML page."""
        from llm_magics.views.report import report

        return report(result, path)


def fragments(comparison: Comparison, figure: Any = None, *, told: bool = False) -> list[Markup | None]:
    """The comparison as HTML: the verdict, a picture of the figure, the table, what makes it weak.

    `told`: verdict and caveats stand above it already (see `words`).
    """
    verdict = comparison.verdict
    head = tag("div", verdict.headline, cls="title")
    said = told_in(verdict)
    if comparison.answers:
        cards = AnswerCards(comparison.prompt or "", comparison.answers, done=True)
        return [cards.html(), *(tag("p", each, cls="muted") for each in [verdict.headline, *verdict.sentences])]
    from llm_magics.views.picture import picture

    drawn = picture(figure, verdict.headline) if figure is not None else None
    shown = [legend(comparison), drawn, comparison_table.comparison(comparison).html()]
    return shown if told else [head, *said, *shown, flag_list(verdict.caveats)]


def legend(comparison: Comparison) -> Markup:
    """The sides in their colours, and what each is."""
    sides = [
        tag(
            "span",
            tag("span", "━", style=f"color:{palette.series(number)}"),
            " ",
            tag("b", label),
            " ",
            headline.what(run),
        )
        for number, (label, run) in enumerate(comparison.runs.items())
    ]
    return tag("div", *sides, cls="facts")


def told_in(verdict: Verdict) -> list[Markup]:
    """What a verdict says below its headline; what explains it is in a smaller voice."""
    return [*map(sentence, verdict.sentences), *(tag("p", each, cls="muted") for each in verdict.notes)]


def sentence(said: str) -> Markup:
    """A sentence of a verdict; the load it speaks of stands out."""
    where, colon, rest = said.partition(": ")
    if not colon or not where.startswith("At "):
        return tag("p", said)
    return tag("p", tag("b", where), ": ", rest)


def text(comparison: Comparison, *, told: bool = False) -> str:
    """The comparison as text: answers or the table, then the verdict, unless that was told already."""
    if comparison.answers:
        shown = str(AnswerCards(comparison.prompt or "", comparison.answers, done=True))
    else:
        shown = str(comparison_table.comparison(comparison))
    return fmt.visible(shown if told else f"{shown}\n\n{comparison.verdict}")
