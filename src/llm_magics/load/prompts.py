"""From a recipe to the bytes of request number i, in the worker, before they are needed.

The parent decides what is sent (`datasets`) and hands over a recipe of plain JSON; here requests are made from it,
each from its own number, so that two runs with the same recipe send the same bytes however fast the servers were.
"""

from __future__ import annotations

import random
import time
from collections import deque
from typing import Any

import orjson

PER_STEP = 1 << 24  # numbers set aside for each step of a run: no step repeats a prompt of another
_TAPE = 65_536  # words
_MOST = 8_192  # requests kept ready
_MOST_BYTES = 32 * 1024 * 1024


class Recipe:
    """Makes requests. See `datasets.recipe` for what the mapping holds."""

    def __init__(self, recipe: dict[str, Any], head: bytes, steps: int) -> None:
        self.recipe = recipe
        self.head = head
        self.steps = max(1, steps)
        self.chat = recipe["endpoint"] == "chat"
        self.prompt = b',"%s":' % recipe.get("prompt", "prompt").encode()
        self.fields = {
            int(length): orjson.dumps({**recipe["body"], **fields})[:-1] for length, fields in recipe["fields"].items()
        }
        self.asked = {int(length): asked for length, asked in recipe["asked"].items()}
        self.words: list[str] = recipe.get("words", [])
        self.rows: list[list[Any]] = recipe.get("rows", [])
        draw = random.Random(recipe["salt"])  # noqa: S311 - filler text, not a secret
        self.tape = draw.choices(self.words, k=_TAPE) if self.words else []

    def request(self, step: int, index: int) -> tuple[bytes, int | None]:
        """The bytes of a request, and the output tokens it asks for."""
        number = step * PER_STEP + index
        if self.rows:
            row, own = self.rows[(step * (len(self.rows) // self.steps) + index) % len(self.rows)]
            length = own or self._draw("output", number)
            return self._bytes(row, length), self.asked[length]
        length = self._draw("output", number)
        return self._bytes(self.text(number), length), self.asked[length]

    def text(self, number: int) -> str:
        """A prompt of the length drawn for this number, different from every other from its first words on."""
        prefixes: list[str] = self.recipe["prefixes"]
        size = max(1, self._draw("input", number) - (0 if prefixes else self.recipe["overhead"]))
        words: list[str] = []
        rest = self.recipe["salt"] + number
        first: list[str] = self.words if prefixes else self.recipe["openers"]
        while rest and len(words) < size:
            some = self.words if words else first
            rest, digit = divmod(rest, len(some))
            words.append(some[digit])
        missing = size - len(words)
        while missing > 0:
            start = (number * 7919) % (_TAPE - 1)
            piece = self.tape[start : start + missing]
            words += piece
            missing -= len(piece)
        text = " ".join(words)
        return f"{prefixes[number % len(prefixes)]} {text}" if prefixes else text

    def _draw(self, what: str, number: int) -> int:
        low, high = self.recipe[what]
        if low == high:
            return int(low)
        seed = f"{self.recipe['seed']}/{what}/{number}"
        return random.Random(seed).randint(low, high)  # noqa: S311 - a length, not a secret

    def _bytes(self, row: Any, length: int) -> bytes:
        content = orjson.dumps(row)
        if not self.chat:
            key, end = self.prompt, b"}"
        elif isinstance(row, str):
            key, end = b',"messages":[{"role":"user","content":', b"}]}"
        else:
            key, end = b',"messages":', b"}"
        fields = self.fields[length]
        size = len(fields) + len(key) + len(content) + len(end)
        return b"".join((self.head, b"Content-Length: %d\r\n\r\n" % size, fields, key, content, end))


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
        self.ready: deque[tuple[bytes, int | None]] = deque()

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

    def take(self) -> tuple[int, bytes, int | None]:
        """Number, bytes and asked tokens of the next request; made on the spot when none is ready."""
        if not self.ready:
            self._make()
        payload, asked = self.ready.popleft()
        self.size -= len(payload)
        index = self._number(self.taken)
        self.taken += 1
        return index, payload, asked

    def _make(self) -> None:
        made = self.recipe.request(self.step, self._number(self.made))
        self.ready.append(made)
        self.size += len(made[0])
        self.made += 1

    def _number(self, mine: int) -> int:
        return self.share[0] + mine * self.share[1]
