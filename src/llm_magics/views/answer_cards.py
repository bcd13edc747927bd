"""Answers to one prompt, side by side: while they stream and when they are whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_magics.views import format as fmt
from llm_magics.views.card import Card
from llm_magics.views.markup import Markup, join, tag

if TYPE_CHECKING:
    from llm_magics.results.answers import Answer


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
