"""Lines of English verse from a small grammar of our own: common words, in an order in which people use them.

Random words are a hard case for everything that guesses the next token. This is the easy and the usual one: articles
stand before nouns, verbs after them, lines resemble each other without being the same.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

# What each word does in a line. Only words that the server's tokenizer has as one token are used.
_WORDS = {
    "article": "the a my your his her our their this that every no some one",
    "noun": (
        "time day night light world life heart hand water sea sky moon sun star stone tree wind rain fire road river "
        "city field summer winter morning evening voice name word song story friend child mother father king door "
        "garden bird shadow house home face eye head book bread table year hour hope love peace dream sleep fear joy "
        "truth power earth air land town street school room window wall bed boat ship game ball dog cat fish horse "
        "flower grass hill wood forest snow ice spring fall box letter line page paper place thing way man woman boy "
        "girl people"
    ),
    "adjective": (
        "old new great small long little good high low deep dark bright cold warm soft hard still sweet sad happy free "
        "true young strong green blue red white black big last first own open quiet slow kind gentle golden silent "
        "empty distant better best full early late"
    ),
    "verb": (
        "is was has had finds found holds held keeps kept knows knew sees saw takes took gives gave makes made leaves "
        "left hears heard calls called loves loved needs wants brings brought follows followed covers turns turned "
        "meets met fills filled remembers moves moved opens opened"
    ),
    "preposition": "of in to for with on at from by over under through after before near upon into",
    "pronoun": "I you we he she it they",
    "plural": "see know keep find hold love hear want need take give make leave call remember follow",
    "conjunction": "and but so or as if when where while because then yet",
    "adverb": "now then never always often still again away here there soon once more",
}
CLASSES: dict[str, tuple[str, ...]] = {kind: tuple(words.split()) for kind, words in _WORDS.items()}

# Lines, by the class of their first word.
_PATTERNS: dict[str, tuple[str, ...]] = {
    "article": (
        "noun verb article noun", "adjective noun verb article noun", "noun preposition article noun verb article noun",
        "adjective noun verb article adjective noun", "noun verb adverb preposition article noun",
    ),
    "preposition": (
        "article noun article noun verb article noun", "article adjective noun pronoun plural article noun",
        "article noun preposition article noun",
    ),
    "pronoun": (
        "plural article noun preposition article noun", "plural article adjective noun",
        "adverb plural article noun", "plural article noun conjunction article noun",
    ),
    "conjunction": (
        "article noun verb article noun", "pronoun plural article noun", "article adjective noun verb article noun",
        "pronoun adverb plural article noun preposition article noun",
    ),
}  # fmt: skip


def vocabulary() -> list[str]:
    """Every word that a line may have, and those that may begin one."""
    words = dict.fromkeys(word for words in CLASSES.values() for word in words)
    first = {word.capitalize(): None for kind in _PATTERNS for word in CLASSES[kind]}
    return [*words, *(word for word in first if word not in words)]


def lines(words: Sequence[str], openers: Sequence[str], seed: int, count: int) -> list[list[str]]:
    """Lines as lists of words.

    Parameters
    ----------
    words
        Those that may stand in a line; of a class without any, others take the place.
    openers
        Those that may begin one.
    """
    draw = random.Random(f"{seed}/verse")  # noqa: S311 - filler text, not a secret
    there = set(words)
    classes = {kind: [word for word in some if word in there] or list(words) for kind, some in CLASSES.items()}
    begin = {
        kind: [word for word in openers if word.lower() in {each.lower() for each in CLASSES[kind]}]
        for kind in _PATTERNS
    }
    begin = {kind: sorted(some, key=str.islower) for kind, some in begin.items() if some}
    # capitals where the tokenizer has them
    begin = {kind: [word for word in some if word[0].isupper()] or some for kind, some in begin.items()}
    found = []
    for _ in range(count):
        kind = draw.choice(sorted(begin) or ["article"])
        first = draw.choice(begin.get(kind) or list(openers))
        pattern = draw.choice(_PATTERNS[kind]).split()
        found.append([first, *(draw.choice(classes[each]) for each in pattern)])
    return found
