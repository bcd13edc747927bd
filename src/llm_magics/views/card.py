"""What every card is: something in a box, drawn as HTML or as text, that `progress.live` can show and replace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_magics.views.markup import Markup, page, tag


class Card:
    """Base of everything that is shown in a box: `html()` and `__str__` are the two forms of it.

    `stays` says whether it is worth leaving behind when the work it tells of is done; `oneline` is it in one line;
    `milestone` where the work has come to, in words that seldom change, for a log that takes lines only.
    """

    stays = True

    def html(self) -> Markup:
        """The card as markup."""
        raise NotImplementedError

    @property
    def oneline(self) -> str:
        """The card in one line, for a terminal that is written over."""
        return str(self).partition("\n")[0]

    @property
    def milestone(self) -> str:
        """Where the work has come to; "" where the card tells of none."""
        return ""

    def ended(self, error: BaseException) -> Card:
        """The card after its work was broken off."""
        return self

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/html": page(self.html()), "text/plain": str(self)}

    def __repr__(self) -> str:
        return str(self)


def fact_row(facts: Sequence[tuple[str, object]]) -> Markup:
    """Small titles over values, side by side."""
    cells = (tag("div", tag("b", title), value, cls="fact num") for title, value in facts)
    return tag("div", *cells, cls="facts")
