"""What must be read beside a figure, as an output of its own.

Of a mime bundle JupyterLab and VS Code draw the figure alone; a verdict and its caveats, or the flags of a run, would
go unseen there. So the magics show these words first, and what they show next leaves the words out
(`Shown.words_told`), or a page that draws the HTML would say everything twice.
"""

from __future__ import annotations

from typing import Any

from llm_magics.results.comparison import Comparison
from llm_magics.results.run import Run
from llm_magics.results.sweep import Sweep
from llm_magics.views import format as fmt
from llm_magics.views.comparisons import told_in
from llm_magics.views.markup import Markup, page, tag
from llm_magics.views.runs import flag_list


class Words:
    """Sentences and warnings; draws itself as HTML and text."""

    def __init__(self, sentences: list[Markup], flags: list[str], text: str) -> None:
        self.sentences = sentences
        self.flags = flags
        self.text = text

    def __str__(self) -> str:
        return fmt.visible(self.text)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/html": page(*self.sentences, flag_list(self.flags)), "text/plain": str(self)}


def words(result: Run | Comparison | Sweep) -> Words | None:
    """What is to be read with a figure; None when there is nothing, or (answers) everything is words already."""
    if isinstance(result, Sweep):
        best = result.best
        shown = [tag("div", best[0], cls="title"), *(tag("p", each) for each in best[1:])]
        return Words(shown, result.flags, "\n".join([*best, *(f"! {flag}" for flag in result.flags)]))
    if isinstance(result, Run) and result.search is not None:
        found = result.search
        said = [tag("div", found.headline, cls="title"), *([tag("p", found.reason)] if found.reason else [])]
        return Words(said, result.flags, "\n".join([str(found), *(f"! {flag}" for flag in result.flags)]))
    if isinstance(result, Run):
        return Words([], result.flags, "\n".join(f"! {flag}" for flag in result.flags)) if result.flags else None
    if result.answers:
        return None
    verdict = result.verdict
    said = [tag("div", verdict.headline, cls="title"), *told_in(verdict)]
    return Words(said, verdict.caveats, str(verdict))
