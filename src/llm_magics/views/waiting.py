"""One line while something is waited for that says nothing itself; gone when it is over."""

from __future__ import annotations

from dataclasses import dataclass

from llm_magics.printable import visible
from llm_magics.views.card import Card
from llm_magics.views.markup import Markup, tag


@dataclass(frozen=True, repr=False)
class WaitingCard(Card):
    """What is waited for, and for how long: `seconds`."""

    what: str
    seconds: float
    stays = False

    @property
    def milestone(self) -> str:
        """What is waited for."""
        return visible(self.what)

    def html(self) -> Markup:
        """The card as markup."""
        return tag("div", str(self), cls="card muted")

    def __str__(self) -> str:
        return f"{visible(self.what)} … {self.seconds:.0f} s"
