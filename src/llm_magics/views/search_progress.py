"""A search while it goes on: the load that is being tried, and what the loads before it said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llm_magics.views import format as fmt
from llm_magics.views.bench_progress import BenchProgress
from llm_magics.views.card import Card, fact_row
from llm_magics.views.markup import Markup, tag

if TYPE_CHECKING:
    from llm_magics.load.progress import Progress
    from llm_magics.results.probe import Probe


@dataclass(frozen=True, repr=False)
class SearchProgress(Card):
    """A moment of a search; not left behind, for its run follows.

    Attributes
    ----------
    name
        The target.
    progress
        What the load generator says of this probe.
    title
        Which probe it is.
    probes
        Those before it, ascending.
    elapsed, budget
        s of the whole search.
    stopped
        It was broken off.
    """

    name: str
    progress: Progress
    title: str
    probes: tuple[Probe, ...]
    elapsed: float
    budget: float
    stopped: bool = False
    stays = False

    @property
    def share(self) -> float:
        """How much of the budget is spent, 0 to 1."""
        return min(1.0, self.elapsed / self.budget)

    @property
    def milestone(self) -> str:
        """What is tried, and what is known by then: `searching tiny · probe 3: 8 streams · holds 4`."""
        parts = (f"searching {self.name}", f"{self.title}: {self.progress.label}", self.bracket)
        return fmt.visible(" · ".join(part for part in parts if part))

    @property
    def bracket(self) -> str:
        """`holds 8, not 16`, as far as it is known."""
        failing = next((each for each in self.probes if not each.holds), None)
        holding = [each for each in self.probes if each.holds and (failing is None or each.load < failing.load)]
        parts = [f"holds {holding[-1].load:g}"] if holding else []
        return ", ".join([*parts, *([f"not {failing.load:g}"] if failing else [])])

    def html(self) -> Markup:
        """The card as markup."""
        moment = BenchProgress(self.name, self.progress)
        head = tag(
            "div",
            tag("span", f"Searching {self.name}" if not self.stopped else f"{self.name}: stopped", cls="title"),
            tag("span", f"{self.title}: {self.progress.label}", cls="muted"),
            tag("span", f"{fmt.duration(self.elapsed)} of {fmt.duration(self.budget)}", cls="push muted num"),
            cls="head",
        )
        bar = tag("div", tag("div", style=f"width:{self.share:.1%}"), cls="bar stopped" if self.stopped else "bar")
        said = [tag("div", line, cls="muted num") for line in map(_said, self.probes)]
        return tag("div", head, bar, fact_row(moment.figures), *said, cls="card")

    def __str__(self) -> str:
        parts = (
            self.name,
            f"{self.title}: {self.progress.label}",
            self.bracket,
            f"{fmt.percent(self.share)} of the budget",
        )
        return fmt.visible(" · ".join(part for part in parts if part))

    @property
    def oneline(self) -> str:
        """The moment in one line, with a bar."""
        bar = "█" * round(self.share * 20) + "░" * (20 - round(self.share * 20))
        last = _said(self.probes[-1]) if self.probes else ""
        parts = (f"{self.title}: {self.progress.label}", self.bracket, last, fmt.duration(self.elapsed))
        return fmt.visible(f"{self.name} {bar} " + " · ".join(part for part in parts if part))

    def ended(self, error: BaseException) -> SearchProgress:
        """The card of a search that was broken off."""
        return replace(self, stopped=True)


def _said(probe: Probe) -> str:
    """`8: goodput 97 %, 512 tok/s, holds`."""
    parts = [f"goodput {fmt.percent(probe.goodput)}"] if probe.goodput is not None else []
    parts += [fmt.tokens_per_s(probe.tokens)] if probe.tokens else []
    parts.append(
        "overloaded" if probe.overloaded else "holds" if probe.holds else "cut short" if probe.cut else "does not hold"
    )
    return f"{probe.load:g}: {', '.join(parts)}" + ("" if probe.sure else " (not sure)")
