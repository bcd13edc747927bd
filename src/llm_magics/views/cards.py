"""Cards of servers and errors, and, from their own file, of answers.

A card is a snapshot: `progress.live` shows one after the other in the same place. Everything that an engine or a user
wrote is escaped by `markup.tag`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from llm_magics.views import format as fmt
from llm_magics.views.answer_cards import AnswerCards
from llm_magics.views.card import Card, fact_row
from llm_magics.views.markup import Markup, join, tag
from llm_magics.views.table import Tone

if TYPE_CHECKING:
    from llm_magics.errors import LLMMagicsError
    from llm_magics.views.facts import ServerFacts

__all__ = ["STATE_TONES", "AnswerCards", "Card", "ErrorCard", "ServerCard", "lifetime", "planned"]

STATE_TONES: dict[str, Tone] = {
    "starting": "busy",
    "loading": "busy",
    "ready": "good",
    "stopping": "busy",
    "stopped": "muted",
    "failed": "bad",
    "lost": "warn",
    "elsewhere": "muted",
}


@dataclass(frozen=True, repr=False)
class ServerCard(Card):
    """A server: its state, how far its start is, how to use it; when it failed, why and what to do.

    Attributes
    ----------
    record
        The server's record.
    line
        The newest line of its log, shown while it starts.
    reused
        It was there already.
    lived
        Until when it would have lived, in words, where that was changed just now.
    left
        Nobody waits for it: the card will not change any more, so it says how to learn what becomes of it.
    now
        The moment of the snapshot, s since the epoch.
    """

    record: ServerFacts
    line: str = ""
    reused: bool = False
    lived: str = ""
    left: bool = False
    now: float = field(default_factory=time.time)
    broken_off: bool = False

    @property
    def elapsed(self) -> float:
        """Seconds since it was asked for; until it was ready or ended when it is past that."""
        end = self.record.ready_at or self.record.ended_at or self.now
        return max(0.0, end - self.record.created)

    @property
    def state(self) -> str:
        """The state in words."""
        if self.broken_off:
            return "not started"
        if self.record.state != "ready":
            return f"running on {self.record.host}" if self.record.state == "elsewhere" else str(self.record.state)
        return "ready" + ", was running already" * self.reused + ", asleep" * self.record.asleep

    @property
    def milestone(self) -> str:
        """Its state."""
        return fmt.visible(f"{self.record.name}: {self.state}")

    @property
    def time_line(self) -> str:
        """How long it takes or took: `12 s, about 40 s expected`."""
        record = self.record
        if record.state == "ready":
            return f"up {fmt.duration(self.now - record.ready_at)}" if self.reused and record.ready_at else (
                f"ready in {fmt.duration(self.elapsed)}" if record.ready_at else ""
            )  # fmt: skip
        if record.state in ("starting", "loading"):
            if self.left:
                return f"about {fmt.duration(record.expected)} until it is ready" if record.expected else ""
            expected = f" of about {fmt.duration(record.expected)}" if record.expected and not self.broken_off else ""
            return f"{fmt.duration(self.elapsed)}{expected}"
        return f"after {fmt.duration(self.elapsed)}" if record.ended_at else ""

    @property
    def _life(self) -> str:
        was = f"; before this: {self.lived}" if self.lived else ""
        return f"{lifetime(self.record, self.now)}{was}"

    @property
    def engine(self) -> str:
        """Engine and version."""
        return f"{self.record.engine} {self.record.engine_version}".strip()

    def html(self) -> Markup:
        """The card as markup."""
        record = self.record
        waits = self.left and record.state in ("starting", "loading")
        tone = "bad" if self.broken_off else "muted" if waits else STATE_TONES.get(record.state, "muted")
        head = tag(
            "div",
            tag("span", tag("span", cls="dot"), self.state, cls=f"state {tone}"),
            tag("span", record.name, cls="title"),
            tag("span", f"{self.engine} · {record.model}", cls="muted"),
            tag("span", self.time_line, cls="push muted num"),
            cls="head",
        )
        if self.broken_off:
            body = None
        elif record.state in ("starting", "loading"):
            body = self._left() if self.left else self._starting()
        elif record.state == "ready":
            body = self._ready()
        else:
            body = self._over()
        return tag("div", head, body, cls="card" + (" error" if tone == "bad" else ""))

    def __str__(self) -> str:
        record, parts = self.record, [self.oneline]
        if record.state == "ready" and not self.broken_off:
            parts.append(f"  {record.url}/v1  model {record.served_model or record.model}")
            if self.lived:
                parts.append(f"  lives {self._life}")
            parts.append(f"  {record.name}.client is an openai.OpenAI;  %bench {record.name};  %llm stop {record.name}")
        elif self.left and record.state in ("starting", "loading"):
            parts.append(f"  %llm list says how far it is;  %llm logs {record.name} what it does")
        elif record.state == "failed" and record.diagnosis:
            parts += [f"  {record.diagnosis['line']}", f"-> {record.diagnosis['remedy']}"]
        return "\n".join(fmt.visible(part) for part in parts)

    @property
    def oneline(self) -> str:
        """The card in one line."""
        record = self.record
        stage = record.stage if record.state in ("starting", "loading") else ""
        cause = record.diagnosis["cause"] if record.state == "failed" and record.diagnosis else ""
        parts = (f"{record.name}: {self.state}", self.engine, record.model, stage or cause, self.time_line)
        return fmt.visible(" · ".join(part for part in parts if part))

    def ended(self, error: BaseException) -> ServerCard:
        """The card of a start that was broken off; why is said by the error below it."""
        return replace(self, broken_off=True) if self.record.state in ("starting", "loading") else self

    def _starting(self) -> Markup:
        expected = self.record.expected
        share = min(0.97, self.elapsed / expected) if expected else None
        bar = None if share is None else tag("div", tag("div", style=f"width:{share:.0%}"), cls="bar")
        log = tag("div", fmt.shortened(self.line, 140), cls="muted mono") if self.line else None
        return join(bar, tag("p", self.record.stage or self.record.state), log)

    def _left(self) -> Markup:
        name = self.record.name
        return tag(
            "p",
            tag("code", f"{name}.wait()"), " waits until it is ready, ",
            tag("code", "%llm list"), " says how far it is.",
            cls="muted",
        )  # fmt: skip

    def _ready(self) -> Markup:
        record = self.record
        facts: list[tuple[str, object]] = [("address", tag("code", f"{record.url}/v1"))]
        if record.served_model and record.served_model != record.model:
            facts.append(("model name for clients", tag("code", record.served_model)))
        if record.gpus:
            facts.append(("GPU" if len(record.gpus) == 1 else "GPUs", ", ".join(map(str, record.gpus))))
        facts.append(("lives", self._life))
        snippet = f'{record.name}.client.chat.completions.create(model={record.name}.model, messages=[{{"role": "user", "content": "Hello"}}])'  # noqa: E501
        hints = tag(
            "p",
            tag("code", f"%bench {record.name}"), " measures it, ",
            tag("code", f"%llm logs {record.name}"), " shows its log, ",
            tag("code", f"{record.name}.stop()"), " stops it.",
            cls="muted",
        )  # fmt: skip
        return join(fact_row(facts), tag("pre", snippet), hints)

    def _over(self) -> Markup | None:
        record = self.record
        if record.state == "failed":
            found = record.diagnosis or {}
            status = "" if record.exit is None else f" (exit status {record.exit})"
            return join(
                tag("p", _sentence(found["cause"]) if found.get("cause") else f"The engine ended{status}."),
                tag("pre", fmt.visible(found["line"])) if found.get("line") else None,
                tag("p", "→ ", found.get("remedy") or tag("code", f"%llm logs {record.name}")),
            )
        if record.state == "lost":
            return tag(
                "p", "Its supervisor is gone; ", tag("code", f"%llm stop {record.name}"), " cleans up.", cls="muted"
            )
        return tag("p", record.stops_why, cls="muted") if record.stops_why else None


@dataclass(frozen=True, repr=False)
class ErrorCard(Card):
    """An error as a card: what failed, why in the engine's words, what to type next."""

    error: LLMMagicsError

    def html(self) -> Markup:
        """The card as markup."""
        error = self.error
        why = tag("pre", fmt.visible(error.why)) if error.why else None
        then = tag("p", "→ ", error.then) if error.then else None
        return tag("div", tag("div", error.what, cls="title"), why, then, cls="card error")

    def __str__(self) -> str:
        return fmt.visible(str(self.error))


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}{'' if words.endswith('.') else '.'}"


def lifetime(record: ServerFacts, now: float) -> str:
    """Until when a server lives, in words."""
    if record.stops_at is not None:
        why = f": {record.stops_why}" if record.stops_why else ""
        return f"stops in {fmt.duration(max(0.0, record.stops_at - now))}{why}"
    return planned(record)


def planned(record: ServerFacts) -> str:
    """Until when a server lives by what was asked for, whether or not its end is near."""
    until = {"detached": "until stopped", "cell": "until its cell ends"}.get(
        record.keep, "until its notebook or shell ends"
    )
    return f"{until}, or idle for {fmt.duration(record.idle)}" if record.idle else until
