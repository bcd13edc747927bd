"""A run while it goes on: how far, how long still, and the three figures that say whether it goes well."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llm_magics.views import format as fmt
from llm_magics.views.card import Card, fact_row
from llm_magics.views.markup import Markup, tag

if TYPE_CHECKING:
    from llm_magics.load.progress import Progress


@dataclass(frozen=True, repr=False)
class BenchProgress(Card):
    """A moment of a run; not left behind, for the run itself follows.

    Attributes
    ----------
    name
        The target.
    progress
        What the load generator says.
    title
        What the run is part of: `round 2 of 3`.
    stopped
        It was broken off.
    """

    name: str
    progress: Progress
    title: str = ""
    stopped: bool = False
    stays = False

    @property
    def share(self) -> float | None:
        """How much is done, 0 to 1; None while nobody can know."""
        now = self.progress
        if now.total:
            return min(1.0, now.done / now.total)
        return min(1.0, now.elapsed / now.expected) if now.expected else None

    @property
    def step(self) -> str:
        """Which point and repetition of how many: `8 streams, point 2 of 3`."""
        now = self.progress
        parts = [now.label]
        if now.points > 1:
            parts.append(f"point {now.point + 1} of {now.points}")
        if now.repeats > 1:
            parts.append(f"repetition {now.repeat + 1} of {now.repeats}")
        return ", ".join(parts)

    @property
    def milestone(self) -> str:
        """What is measured: `tiny · round 2 of 3 · 8 streams, point 2 of 3`."""
        return fmt.visible(" · ".join(part for part in (f"measuring {self.name}", self.title, self.step) if part))

    @property
    def time_line(self) -> str:
        """`12 s, about 20 s left`."""
        now = self.progress
        if now.draining is not None and not self.stopped:
            waiting = fmt.duration(now.draining)
            return f"{fmt.duration(now.elapsed)}, all sent; what is in flight has {waiting} at most"
        if now.expected is None or self.stopped:
            return fmt.duration(now.elapsed)
        return f"{fmt.duration(now.elapsed)}, about {fmt.duration(max(0.0, now.expected - now.elapsed))} left"

    @property
    def figures(self) -> list[tuple[str, str]]:
        """The figures of this moment: name, value."""
        now = self.progress
        done = f"{fmt.count(now.done)} of {fmt.count(now.total)}" if now.total else fmt.count(now.done)
        warmup = f", {fmt.count(now.warmup)} of them for warm-up" if now.total and now.warmup else ""
        found = [
            (f"requests{warmup}", done),
            ("in flight", fmt.count(now.in_flight)),
            ("output", fmt.tokens_per_s(now.tokens_per_s)),
            ("TTFT", fmt.latency(now.ttft)),
        ]
        return [*found, ("errors", fmt.count(now.errors))] if now.errors else found

    def html(self) -> Markup:
        """The card as markup."""
        title = f"Measuring {self.name}" if not self.stopped else f"{self.name}: stopped"
        head = tag(
            "div",
            tag("span", title, cls="title"),
            tag("span", " · ".join(part for part in (self.title, self.step) if part), cls="muted"),
            tag("span", self.time_line, cls="push muted num"),
            cls="head",
        )
        width = f"{(self.share or 0):.1%}"
        bar = tag("div", tag("div", style=f"width:{width}"), cls="bar stopped" if self.stopped else "bar")
        facts = [(name, tag("span", value, cls="worse") if name == "errors" else value) for name, value in self.figures]
        return tag("div", head, bar, fact_row(facts), cls="card")

    def __str__(self) -> str:
        share = f"{self.share:4.0%}" if self.share is not None else ""
        figures = " · ".join(f"{value} {name}" for name, value in self.figures)
        parts = (f"{self.name} {share}".strip(), self.title, self.step, figures, self.time_line)
        return fmt.visible(" · ".join(part for part in parts if part))

    @property
    def oneline(self) -> str:
        """The moment in one line, with a bar."""
        share = self.share or 0.0
        bar = "█" * round(share * 20) + "░" * (20 - round(share * 20))
        now = self.progress
        rest = " · ".join(
            part
            for part in (
                self.title,
                now.label,
                fmt.tokens_per_s(now.tokens_per_s),
                f"{now.errors} errors" if now.errors else "",
                self.time_line,
            )
            if part
        )
        return fmt.visible(f"{self.name} {bar} {share:4.0%} · {rest}")

    def ended(self, error: BaseException) -> BenchProgress:
        """The card of a run that was broken off."""
        return replace(self, stopped=True)
