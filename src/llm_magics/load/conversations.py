"""Conversations: each turn sends what was said before, the model's own answers among it, and one message more.

The answers are the server's, so what a turn sends is known only when the last one has ended; it is put together then,
while the person thinks, and nothing of it is kept once the conversation is over.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from llm_magics.load.prompts import Made, Recipe


class Conversation:
    """One conversation under way.

    Attributes
    ----------
    number
        Of all conversations of the run.
    index
        Of those of its step.
    turn
        The turn that was sent last, from 0.
    """

    __slots__ = ("history", "index", "length", "model", "number", "recipe", "said", "turn")

    def __init__(
        self, recipe: Recipe, number: int, index: int, said: list[list[dict[str, Any]]] | None, length: int | None
    ) -> None:
        self.recipe = recipe
        self.number = number
        self.index = index
        self.said = said  # what a file has people say, turn by turn; None where it is made
        self.length = length  # of each answer, where the file says so
        self.model = recipe.model(number)
        self.turn = -1
        self.history: list[bytes] = []

    @property
    def turns(self) -> int:
        """How many it has in all."""
        return self.recipe.turns if self.said is None else len(self.said)

    @property
    def over(self) -> bool:
        """Whether its last turn has been sent."""
        return self.turn + 1 >= self.turns

    def next(self, answer: str | None = None) -> Made:
        """The next turn's request, after the server's `answer` to the last one."""
        self.turn += 1
        if answer is not None:
            self.history.append(orjson.dumps({"role": "assistant", "content": answer}))
        self.history += map(orjson.dumps, self._messages())
        made = self.recipe.made(b",".join(self.history), self.length, f"{self.number}/{self.turn}", self.model)
        made.talk = self
        return made

    def pause(self) -> int:
        """How long (ns) the person thinks before the next turn."""
        low, high = self.recipe.think
        if low == high:
            return round(low * 1e9)
        seed = f"{self.recipe.seed}/think/{self.number}/{self.turn}"
        return round(random.Random(seed).uniform(low, high) * 1e9)  # noqa: S311 - a pause, not a secret

    def _messages(self) -> list[dict[str, Any]]:
        if self.said is not None:
            return self.said[self.turn]
        return self.recipe.asked_in_turn(self.number, self.turn)
