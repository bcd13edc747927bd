"""From a recipe to the bytes of request number i, in the worker, before they are needed.

The parent decides what is sent (`datasets`) and hands over a recipe of plain JSON; here requests are made from it,
each from its own number, so that two runs with the same recipe send the same bytes however fast the servers were.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from llm_magics.load.conversations import Conversation
from llm_magics.load.pictures import data_url
from llm_magics.load.writers import RandomWords, Verse, Writer

PER_STEP = 1 << 24  # numbers set aside for each step of a run: no step repeats a prompt of another
_TURN = 1 << 52  # set aside for the turns of conversations, above all salts and numbers
_BLOCK = 512  # tokens of a trace's shared block
_GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples are spread evenly, however many there are


@dataclass(slots=True)
class Made:
    """A request that can be sent: its bytes, the output tokens it asks for, of which model, in which conversation."""

    payload: bytes
    asked: int | None
    model: str | None = None
    talk: Conversation | None = None


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
        self.rows: list[list[Any]] = recipe.get("rows", [])
        self.trace: list[list[Any]] = recipe.get("trace", [])
        self.seed, self.salt = recipe["seed"], recipe["salt"]
        self.levels: list[list[int]] = recipe.get("levels", [])
        self.turns: int = recipe.get("turns", 1)
        self.stride = self.turns if not self.rows else max(len(_turns(row)) for row in self.rows)
        self.think: list[float] = recipe.get("think", [0.0, 0.0])
        self.names = list(recipe.get("models", {}))
        self.shares = list(itertools.accumulate(recipe.get("models", {}).values()))
        self.writer = self._writer()
        self.beginning = lru_cache(maxsize=1024)(self._beginning)

    def _writer(self) -> Writer | None:
        words, openers = self.recipe.get("words", []), self.recipe.get("openers", [])
        if not words:
            return None
        if self.recipe.get("verse"):
            return Verse(words, openers, self.recipe["ends"], self.salt)
        return RandomWords(words, openers, self.salt)

    def request(self, step: int, index: int) -> Made:
        """One request, or the first of a conversation."""
        number = step * PER_STEP + index
        if self.rows:
            row = self.rows[first_row(self.recipe, step, self.steps, index)]
            if self.turns > 1:
                return Conversation(self, number, index, _turns(row), row[1]).next()
            return self._sent(row[0], row[1], str(number), self.model(number))
        if self.turns > 1:
            return Conversation(self, number, index, None, None).next()
        if self.trace:
            return self._recorded(step, index, number)
        content = self._message(self.text(number), number) if self.recipe.get("images") else self.text(number)
        return self._sent(content, None, str(number), self.model(number))

    def asked_in_turn(self, number: int, turn: int) -> list[dict[str, Any]]:
        """What a person says in a turn of a conversation that is made."""
        if turn == 0:
            text = self.text(number)
            return self._message(text, number) if self.recipe.get("images") else [{"role": "user", "content": text}]
        size = max(1, self._draw("input", f"{number}/{turn}"))
        return [{"role": "user", "content": self._write(size, self.salt + number + turn * _TURN)}]

    def text(self, number: int) -> str:
        """A prompt of the length drawn for this number, different from every other from its first words on.

        Where beginnings are shared, what follows them is.
        """
        size = max(1, self._draw("input", str(number)) - (0 if self.levels else self.recipe["overhead"]))
        key = self.salt + number
        if not self.levels:
            return self._write(size, key)
        path, rest = [], number
        for count, _ in self.levels:
            rest, branch = divmod(rest, count)
            path.append(branch)
        shared = [self.beginning(*path[: depth + 1]) for depth in range(len(path))]
        return " ".join([*shared, self._write(size, key, begins=False)])

    def _beginning(self, *path: int) -> str:
        """One shared beginning; the template's tokens, which all share anyway, count as part of the first level."""
        first = len(path) == 1
        size = max(1, self.levels[len(path) - 1][1] - (self.recipe["overhead"] if first else 0))
        return self._write(size, self._key(f"level/{'/'.join(map(str, path))}", path[-1]), begins=first)

    def _recorded(self, step: int, index: int, number: int) -> Made:
        """A request of a trace: of its length, made of its blocks where it has any."""
        at = index - self.recipe["warmup"]
        tokens, length, ids = self.trace[at % len(self.trace)]
        size = max(1, tokens - self.recipe["overhead"])
        if not ids or at < 0:
            text = self._write(size, self.salt + number)
        else:
            # sent once more, a trace is another one: else whole prompts would be in the server's cache
            pieces, left, lap = [], size, f"{step}/{at // len(self.trace)}" if at >= len(self.trace) else f"{step}"
            for place, block in enumerate(ids):
                full = max(1, _BLOCK - (0 if place else self.recipe["overhead"]))
                many = left if place == len(ids) - 1 else min(full, left)
                if many <= 0:
                    break
                pieces.append(self._write(many, self._key(f"{lap}/block/{block}", block), begins=not place))
                left -= many
            text = " ".join(pieces)
        return self._sent(text, length, str(number), self.model(number))

    def _write(self, size: int, key: int, *, begins: bool = True) -> str:
        if self.writer is None:
            raise RuntimeError("the recipe has no words to write with")
        return self.writer.write(size, key, begins=begins)

    def _key(self, what: str, number: int) -> int:
        """A key for text that several requests share; neighbours differ in their first word."""
        return (int.from_bytes(hashlib.sha256(f"{self.salt}/{what}".encode()).digest()[:5]) << 16) + number

    def _message(self, text: str, number: int) -> list[dict[str, Any]]:
        """A message with pictures."""
        width, height = self.recipe["image_size"]
        parts: list[dict[str, Any]] = [{"type": "text", "text": text}]
        for image in range(self.recipe["images"]):
            url = data_url(width, height, f"{self.salt}/{number}/{image}")
            parts.append({"type": "image_url", "image_url": {"url": url}})
        return [{"role": "user", "content": parts}]

    def model(self, number: int) -> str | None:
        """Whom request or conversation `number` asks; None where all ask the same."""
        if not self.names:
            return None
        at = random.Random(f"{self.seed}/model/{number}").random()  # noqa: S311 - a choice, not a secret
        name: str = self.names[min(bisect(self.shares, at), len(self.names) - 1)]
        return name

    def _draw(self, what: str, number: str) -> int:
        low, high = self.recipe[what]
        if low == high:
            return int(low)
        seed = f"{self.seed}/{what}/{number}"
        return random.Random(seed).randint(low, high)  # noqa: S311 - a length, not a secret

    def _sent(self, row: Any, own: int | None, number: str, model: str | None) -> Made:
        content = orjson.dumps(row)
        if not self.chat:
            return self._bytes(self.prompt, content, b"}", own, number, model)
        if isinstance(row, str):
            return self._bytes(b',"messages":[{"role":"user","content":', content, b"}]}", own, number, model)
        return self._bytes(b',"messages":', content, b"}", own, number, model)

    def made(self, messages: bytes, own: int | None, number: str, model: str | None) -> Made:
        """A request with messages that are JSON already, without the brackets around them."""
        return self._bytes(b',"messages":[', messages, b"]}", own, number, model)

    def _bytes(self, key: bytes, content: bytes, end: bytes, own: int | None, number: str, model: str | None) -> Made:
        length = own or self._draw("output", number)
        fields = self.fields[length]
        if model is not None:
            fields = b'{"model":' + orjson.dumps(model) + b"," + fields[1:]
        size = len(fields) + len(key) + len(content) + len(end)
        payload = b"".join((self.head, b"Content-Length: %d\r\n\r\n" % size, fields, key, content, end))
        return Made(payload, self.asked[length], model)


def first_row(recipe: Mapping[str, Any], step: int, steps: int, index: int = 0) -> int:
    """Which row request `index` of a step is made of.

    Steps share out the rows, and another seed (a comparison's next round, a search's next probe) begins elsewhere, as
    far from the others as may be: the same rows again would be in the server's prefix cache.
    """
    rows = len(recipe["rows"])
    return (int(recipe["seed"] * _GOLDEN % 1.0 * rows) + step * (rows // max(1, steps)) + index) % rows


def _turns(row: list[Any]) -> list[list[dict[str, Any]]]:
    """What people say in a row's conversation, turn by turn."""
    first = [{"role": "user", "content": row[0]}] if isinstance(row[0], str) else row[0]
    return [first, *(row[2] if len(row) > 2 else [])]
