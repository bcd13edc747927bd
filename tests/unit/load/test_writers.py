"""Text of an exact number of tokens, whatever the key; what is shared is the same, what is not differs at once."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_magics.load.pictures import picture
from llm_magics.load.verse import CLASSES, vocabulary
from llm_magics.load.writers import RandomWords, Verse, Writer

ENDS = {",\n": 2, ".\n": 2, "\n": 1}
OPENERS = [word for word in vocabulary() if word[0].isupper()]
WRITERS: list[Writer] = [
    Verse(vocabulary(), OPENERS, ENDS, 5),
    Verse(["the", "of", "and"], ["the"], {}, 5),
    Verse(["the", "sea", "was"], ["the"], {",\n": 1, "\n": 1}, 5),
    RandomWords(["the", "of", "and"], ["the", "of"], 5),
]


def counted(text: str, ends: dict[str, int]) -> int:
    """Words are a token each; line ends what the tokenizer says."""
    total = len(text.split())
    rest = text
    for end, tokens in sorted(ends.items(), key=lambda item: -len(item[0])):
        total += rest.count(end) * tokens
        rest = rest.replace(end, " ")
    return total


@pytest.mark.parametrize("writer", WRITERS, ids=["verse", "no line ends", "few words", "words"])
@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 400), key=st.integers(0, 1 << 60), begins=st.booleans())
def test_any_length_of_any_key_is_exact(writer: Writer, size: int, key: int, begins: bool) -> None:
    text = writer.write(size, key, begins=begins)
    ends = getattr(writer, "ends", {})
    words = re.sub(r"[,.]\n", "\n", text) if 1 in ends.values() and len(ends) == 2 else text
    marks = {"\n": 1} if words != text or len(ends) == 2 else ends
    assert counted(words.replace(",", "") if len(ends) == 2 else words, marks) == size
    assert text == text.strip()
    assert text == writer.write(size, key, begins=begins)


@pytest.mark.parametrize("writer", [WRITERS[0], WRITERS[3]])
def test_neighbours_differ_from_the_first_line_on(writer: Writer) -> None:
    texts = [writer.write(60, (1 << 40) + number) for number in range(300)]
    assert len({text[:60] for text in texts}) == 300


def test_verse_is_made_of_sentences() -> None:
    lines = WRITERS[0].write(400, 12345).split("\n")
    nouns = set(CLASSES["noun"])
    for line in lines[:-1]:
        words = line.rstrip(",.").split()
        assert words[0][0].isupper()
        assert set(words) & nouns
        assert words[-1] in nouns


def test_pictures_of_one_key_are_the_same() -> None:
    assert picture(64, 48, "1/2/0") == picture(64, 48, "1/2/0") != picture(64, 48, "1/2/1")
    assert len(picture(512, 512, "a")) < 10_000
