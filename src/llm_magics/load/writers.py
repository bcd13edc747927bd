"""Text of an exact number of tokens: random words, or verse that reads like English. The same key, the same text.

Every word is one token by itself (`words`), so a length is a matter of counting. A text begins with what its key
decides, so that no two keys share a beginning that a prefix cache could use. `begins` is False for text that goes on
after other text: then its first word has a space before it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Protocol

from llm_magics.load.verse import lines

_TAPE = 65_536  # words
_LINES = 2_048
_STEP = 7919  # prime: from one key's place on the tape to the next one's


class Writer(Protocol):
    """Writes texts."""

    def write(self, size: int, key: int, *, begins: bool = True) -> str:
        """A text of `size` tokens that no other key has."""


class RandomWords:
    """Words drawn at random: what no cache and no draft model can guess."""

    def __init__(self, words: Sequence[str], openers: Sequence[str], salt: int) -> None:
        self.words = words
        self.openers = openers
        draw = random.Random(salt)  # noqa: S311 - filler text, not a secret
        self.tape = draw.choices(words, k=_TAPE)

    def write(self, size: int, key: int, *, begins: bool = True) -> str:
        """A text of `size` words: those that spell the key, then a piece of the tape."""
        words: list[str] = []
        rest = key
        first = self.openers if begins else self.words
        while rest and len(words) < size:
            some = self.words if words else first
            rest, digit = divmod(rest, len(some))
            words.append(some[digit])
        missing = size - len(words)
        while missing > 0:
            start = (key * _STEP) % (_TAPE - 1)
            piece = self.tape[start : start + missing]
            words += piece
            missing -= len(piece)
        return " ".join(words)


class Verse:
    """Lines of verse: language as people write it, so that caches and draft models meet what they were made for."""

    def __init__(self, words: Sequence[str], openers: Sequence[str], ends: Mapping[str, int], salt: int) -> None:
        self.words = words
        self.ends = ends
        made = lines(words, openers, salt, _LINES)
        marks = list(ends) or [" "]
        self.lines = [(line, marks[number % len(marks)]) for number, line in enumerate(made)]

    def write(self, size: int, key: int, *, begins: bool = True) -> str:
        """A text of `size` tokens: the lines that spell the key, then lines that follow each other, the last cut."""
        pieces: list[str] = []
        left = size
        if not begins:  # a word with its space, then a line of its own
            word = self.words[key % len(self.words)]
            if size < 3 or not self.ends:
                return " ".join([word, *self._words(size - 1, key)])
            pieces.append(f"{word}\n")
            left -= 2
        rest, at = key, (key * _STEP) % len(self.lines)
        while True:
            if rest:
                rest, digit = divmod(rest, len(self.lines))
            else:
                at = digit = (at + 1) % len(self.lines)
            line, end = self.lines[digit]
            cost = len(line) + self.ends.get(end, 0)
            if cost >= left or not self.ends:
                pieces.append(" ".join([*line[:left], *self._words(left - len(line), key)]))
                return "".join(pieces)
            pieces.append(" ".join(line) + end)
            left -= cost

    def _words(self, count: int, key: int) -> list[str]:
        start = (key * _STEP) % len(self.words)
        return [self.words[(start + number) % len(self.words)] for number in range(max(0, count))]
