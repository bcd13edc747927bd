"""Requests of a step made ahead, while the loop has nothing better to do, and handed out in their order."""

from __future__ import annotations

import time
from collections import deque

from llm_magics.load.prompts import Made, Recipe

_MOST = 8_192  # requests kept ready
_MOST_BYTES = 32 * 1024 * 1024


class Stock:
    """Requests of one step made ahead, in order; refilled while the loop has nothing better to do.

    `share` is (k, n): of the step's requests those whose number leaves k when divided by n.
    """

    def __init__(self, recipe: Recipe, step: int, total: int | None, share: tuple[int, int] = (0, 1)) -> None:
        self.recipe = recipe
        self.step = step
        self.total = total
        self.share = share
        self.made = 0
        self.taken = 0
        self.size = 0
        self.ready: deque[Made] = deque()

    def fill(self, seconds: float) -> None:
        """Make requests until enough are ready or the time is up."""
        until = time.monotonic() + seconds
        while (
            len(self.ready) < _MOST
            and self.size < _MOST_BYTES
            and (self.total is None or self.made < self.total)
            and time.monotonic() < until
        ):
            self._make()

    def take(self) -> tuple[int, Made]:
        """Number and next request; made on the spot when none is ready. Turns of a conversation count on from it."""
        if not self.ready:
            self._make()
        made = self.ready.popleft()
        self.size -= len(made.payload)
        index = self._number(self.taken) * self.recipe.stride
        self.taken += 1
        return index, made

    def _make(self) -> None:
        made = self.recipe.request(self.step, self._number(self.made))
        self.ready.append(made)
        self.size += len(made.payload)
        self.made += 1

    def _number(self, mine: int) -> int:
        return self.share[0] + mine * self.share[1]
