"""Cards: a server and how its start goes, answers side by side, an error. One object, drawn as HTML or as text.

A card is a snapshot: `progress.live` shows one after the other in the same place. Everything that an engine or a user
wrote is escaped by `markup.tag`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from llm_magics.views import format as fmt
from llm_magics.views.markup import Markup, join, page, tag
from llm_magics.views.table import Tone

if TYPE_CHECKING:
    from llm_magics.errors import LLMMagicsError
    from llm_magics.results.answers import Answer
    from llm_magics.views.facts import ServerFacts

STATE_TONES: dict[str, Tone] = {
    "starting": "busy",
    "loading": "busy",
    "ready": "good",
    "stopping": "busy",
    "stopped": "muted",
    "failed": "bad",
    "lost": "warn",
}


class Card:
    """Base of everything that is shown in a box: `html()` and `__str__` are the two forms of it.

    `stays` says whether it is worth leaving behind when the work it tells of is done; `oneline` is it in one line.
    """

    stays = True

    def html(self) -> Markup:
        """The card as markup."""
        raise NotImplementedError

    @property
    def oneline(self) -> str:
        """The card in one line, for a terminal that is written over."""
        return str(self).partition("\n")[0]

    def ended(self, error: BaseException) -> Card:
        """The card after its work was broken off."""
        return self

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/html": page(self.html()), "text/plain": str(self)}

    def __repr__(self) -> str:
        return str(self)


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
    now
        The moment of the snapshot, s since the epoch.
    """

    record: ServerFacts
    line: str = ""
    reused: bool = False
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
        return "ready, reused" if self.reused and self.record.state == "ready" else self.record.state

    @property
    def time_line(self) -> str:
        """How long it takes or took: `12 s, about 40 s expected`."""
        record = self.record
        if record.state == "ready":
            return f"up {fmt.duration(self.now - record.ready_at)}" if self.reused and record.ready_at else (
                f"ready in {fmt.duration(self.elapsed)}" if record.ready_at else ""
            )  # fmt: skip
        if record.state in ("starting", "loading"):
            expected = f" of about {fmt.duration(record.expected)}" if record.expected and not self.broken_off else ""
            return f"{fmt.duration(self.elapsed)}{expected}"
        return f"after {fmt.duration(self.elapsed)}" if record.ended_at else ""

    @property
    def engine(self) -> str:
        """Engine and version."""
        return f"{self.record.engine} {self.record.engine_version}".strip()

    def html(self) -> Markup:
        """The card as markup."""
        record = self.record
        tone = "bad" if self.broken_off else STATE_TONES.get(record.state, "muted")
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
            body = self._starting()
        elif record.state == "ready":
            body = self._ready()
        else:
            body = self._over()
        return tag("div", head, body, cls="card" + (" error" if tone == "bad" else ""))

    def __str__(self) -> str:
        record, parts = self.record, [self.oneline]
        if record.state == "ready" and not self.broken_off:
            parts.append(f"  {record.url}/v1  model {record.served_model or record.model}")
            parts.append(f"  {record.name}.client is an openai.OpenAI;  %bench {record.name};  %llm stop {record.name}")
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

    def _ready(self) -> Markup:
        record = self.record
        facts: list[tuple[str, object]] = [("address", tag("code", f"{record.url}/v1"))]
        if record.served_model and record.served_model != record.model:
            facts.append(("model name for clients", tag("code", record.served_model)))
        if record.gpus:
            facts.append(("GPU" if len(record.gpus) == 1 else "GPUs", ", ".join(map(str, record.gpus))))
        facts.append(("lives", lifetime(record, self.now)))
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
class AnswerCards(Card):
    """Answers to one prompt, side by side, as they stream or when they are whole.

    They are not left behind by `live`: the comparison that follows as the cell's value shows them again.
    """

    prompt: str
    answers: Mapping[str, Answer] | Sequence[Answer]
    done: bool = False
    stays = False

    @property
    def each(self) -> list[Answer]:
        """The answers in order."""
        return list(self.answers.values() if isinstance(self.answers, Mapping) else self.answers)

    def html(self) -> Markup:
        """The cards as markup."""
        prompt = tag("p", fmt.shortened(self.prompt, 300), cls="muted prompt") if self.prompt else None
        return join(prompt, tag("div", *map(self._card, self.each), cls="side"))

    def __str__(self) -> str:
        return "\n\n".join(self._text(answer) for answer in self.each)

    @property
    def oneline(self) -> str:
        """How many tokens have come from each."""
        return " · ".join(f"{answer.name}: {'error' if answer.error else self._tokens(answer)}" for answer in self.each)

    def _streaming(self, answer: Answer) -> bool:
        return not self.done and answer.finish is None and answer.error is None

    def _card(self, answer: Answer) -> Markup:
        model = answer.model if answer.model != answer.name else ""
        head = tag("div", tag("span", answer.name, cls="title"), tag("span", model, cls="muted"), cls="head")
        caret = tag("span", "▍", cls="caret") if self._streaming(answer) else None
        text = fmt.visible(answer.text)
        if not text and answer.ok and not caret:
            said: Markup | None = tag("div", "an empty answer", cls="answer muted")
        else:
            said = tag("div", text, caret, cls="answer") if text or caret else None
        failed = tag("pre", fmt.visible(answer.error)) if answer.error else None
        figures = tag("div", *(tag("span", figure) for figure in self._figures(answer)), cls="foot muted")
        return tag("div", head, said, failed, figures, cls="card" + (" error" if answer.error else ""))

    def _figures(self, answer: Answer) -> list[str]:
        if answer.error:
            return ["no whole answer"]
        figures = []
        if answer.tokens_per_s:
            figures.append(fmt.tokens_per_s(answer.tokens_per_s))
        if answer.ttft is not None:
            figures.append(f"TTFT {fmt.latency(answer.ttft)}")
        figures.append(self._tokens(answer))
        if answer.finish not in (None, "stop"):
            figures.append("cut at the token limit" if answer.finish == "length" else f"ended by {answer.finish}")
        return figures

    def _tokens(self, answer: Answer) -> str:
        if answer.tokens is None:
            return "waiting" if self._streaming(answer) and not answer.text else "tokens not counted"
        return "1 token" if answer.tokens == 1 else f"{fmt.count(answer.tokens)} tokens"

    def _text(self, answer: Answer) -> str:
        said = answer.error or answer.text or "(an empty answer)"
        lines = "\n".join(f"  {line}" for line in fmt.visible(said).splitlines())
        return f"{fmt.visible(answer.name)} · {' · '.join(self._figures(answer))}\n{lines}"


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


def fact_row(facts: Sequence[tuple[str, object]]) -> Markup:
    """Small titles over values, side by side."""
    cells = (tag("div", tag("b", title), value, cls="fact num") for title, value in facts)
    return tag("div", *cells, cls="facts")


def lifetime(record: ServerFacts, now: float) -> str:
    """Until when a server lives, in words."""
    if record.stops_at is not None:
        why = f": {record.stops_why}" if record.stops_why else ""
        return f"stops in {fmt.duration(max(0.0, record.stops_at - now))}{why}"
    if record.keep == "detached":
        return f"until stopped, or idle for {fmt.duration(record.idle)}" if record.idle else "until stopped"
    return "until its cell ends" if record.keep == "cell" else "as long as its notebook's kernel"
