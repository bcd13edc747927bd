"""Words that are one token each, whatever tokenizer the server has: the way to prompts of an exact length.

A prompt of n such words has n tokens plus what the chat template adds. Which words qualify is asked of the server: of
its tokenize endpoint where it has one, else of the `usage` of a few one-token answers. A guess is never trusted: the
last probe checks the length that was computed against the one that the server counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from llm_magics.errors import TargetError
from llm_magics.load.endpoint import Endpoint
from llm_magics.load.probing import question
from llm_magics.load.verse import vocabulary
from llm_magics.load.writers import Verse

# Frequent English words and letters: nearly every byte-pair vocabulary has a token for most of them, space included.
CANDIDATES = (  # noqa: SIM905 - 300 quoted words would take pages
    "the of and to in a is it for on that as with are be this by an or at from can not we you which was have if will "
    "one more other when all two time they each there were but has more how than also first then some what these out "
    "use their any may work so about many used must over new such only see part same into no set way its number data "
    "do make up between does down most need while small large after before long point been line different both where "
    "three following because per next like step using page end just very high good main order should would could left "
    "right under place last value test case type model system form group state change list read write run name level "
    "rate size space start keep even well through without within every another being here own less much him her she "
    "my our your me said man day old great take great world life still water light home house hand city study book "
    "b c d e f g h i j k l m n o p q r s t u v w x y z A B C D E F G H I J K L M N O P Q R S T U V W X Y Z "
    "token tokens memory cache batch request server engine prompt output input text layer weight kernel attention "
    "The In It We You This That For If On As At By To Is"
).split()

_FIRST = "the"  # stands before the words that are counted, so that how a text begins does not matter
_ENOUGH = 96
_GROUP_BY_TOKENIZER = 16
_GROUP_BY_USAGE = 48
_PROBES = 24  # one-token answers spent on finding words where there is no tokenize endpoint
_ENOUGH_VERSE = 400
_ENDS = (",\n", ".\n", "\n")  # how a line of verse may end
_CHECKS = (16, 80)  # words of the two prompts that show what the template adds


@dataclass(frozen=True)
class Words:
    """Words to make prompts of.

    Attributes
    ----------
    words
        One token each, with the space before them.
    openers
        Those that are one token at the start of a text, too, where no space stands before them.
    overhead
        Tokens that the chat template (or a start token) adds.
    exact
        Whether the server has confirmed that n words are n + overhead tokens.
    how
        `tokenizer`, `usage` or `unchecked`.
    ends
        For verse: how a line may end, and the tokens of that.
    """

    words: list[str]
    openers: list[str]
    overhead: int
    exact: bool
    how: str
    ends: dict[str, int] = field(default_factory=dict)


def find_words(endpoint: Endpoint, *, completions: bool = False, verse: bool = False) -> Words:
    """Ask the server which words are one token, and what its template adds.

    With `verse` the words are those of `verse.vocabulary`, and it is asked how lines end.

    Raises
    ------
    TargetError
        When the server does not answer a one-token request at all.
    """
    candidates = vocabulary() if verse else list(dict.fromkeys(CANDIDATES))
    enough = _ENOUGH_VERSE if verse else _ENOUGH
    ends: dict[str, int] = {}
    usage = _usage_counter(endpoint, completions)
    first = usage(_sentence(candidates[:1], candidates, _CHECKS[0]))
    how = "unchecked"
    words: list[str] = []
    openers: list[str] = []
    if endpoint.tokenize_path is not None:
        counted = _tokenize_counter(endpoint, endpoint.tokenize_path)
        if counted(_FIRST) is not None:
            words, how = _single(counted, candidates, " ", _GROUP_BY_TOKENIZER, 10_000, enough), "tokenizer"
            openers = _single(counted, words, "\n", _GROUP_BY_TOKENIZER, 10_000, enough)
            ends = _ends(counted, openers) if verse else {}
    if not words and first is not None:
        words, how = _single(usage, candidates, " ", _GROUP_BY_USAGE, _PROBES, enough), "usage"
        openers = _single(usage, words, "\n", _GROUP_BY_USAGE, _PROBES, enough)
        ends = _ends(usage, openers) if verse else {}
    if not words:
        return Words(candidates, candidates, 0, exact=False, how="unchecked", ends={"\n": 1} if verse else {})
    openers = openers or words[:1]  # one that all prompts begin with, whatever its tokens: they differ from the second
    short, long = (usage(_sentence(openers, words, size)) for size in _CHECKS)
    if short is None or long is None:
        return Words(words, openers, 0, exact=False, how=how, ends=ends)
    overhead = max(0, long - _CHECKS[1])
    if verse:
        other = usage(Verse(words, openers, ends, 0).write(_CHECKS[1], 1))
    else:
        other = usage(_sentence(openers[::-1], words[::-1], _CHECKS[1]))
    exact = short - _CHECKS[0] == long - _CHECKS[1] and other == long
    return Words(words, openers, overhead, exact=exact, how=how, ends=ends)


def _ends(count: Callable[[str], int | None], openers: list[str]) -> dict[str, int]:
    """The ways a line of verse can end, and the tokens of each; counted between two words that are one token each."""
    if not openers:
        return {}
    word = openers[0]
    alone = count(f"{_FIRST}\n{word}\n{word}")
    found = {}
    for end in _ENDS:
        total = count(f"{_FIRST}\n{word}{end}{word}")
        if total is not None and alone is not None and total >= alone:
            found[end] = total - alone + 1  # a line break between two openers is one token
    return found


def _single(
    count: Callable[[str], int | None], candidates: list[str], between: str, group: int, budget: int, enough: int
) -> list[str]:
    """The candidates that are one token each, by counting groups and halving those that do not add up.

    Between them stands a space, which most vocabularies make part of the word, or a line break, a token of its own.
    """
    alone = count(_FIRST)
    apart = 0 if between == " " else 1
    if alone is None:
        return []
    found: list[str] = []
    queue = [candidates[at : at + group] for at in range(0, len(candidates), group)]
    while queue and budget > 0 and len(found) < enough:
        some = queue.pop(0)
        budget -= 1
        total = count(between.join([_FIRST, *some]))
        if total is None:
            return []
        if total - alone == len(some) * (1 + apart):
            found += some
        elif len(some) > 1:
            middle = len(some) // 2
            queue += [some[:middle], some[middle:]]
    return found


def _sentence(openers: list[str], words: list[str], size: int) -> str:
    return " ".join([openers[0], *(words[at % len(words)] for at in range(1, size))])


def _tokenize_counter(endpoint: Endpoint, path: str) -> Callable[[str], int | None]:
    """Counts by the tokenize endpoint; llama.cpp reads `content`, vLLM `prompt`: both are sent."""

    def count(text: str) -> int | None:
        body = {
            "model": endpoint.model,
            "content": text,
            "prompt": text,
            "add_special": False,
            "add_special_tokens": False,
        }
        try:
            said = endpoint.ask("POST", path, body)
        except TargetError:
            return None
        tokens = said.document.get("tokens") if isinstance(said.document, dict) else None
        return len(tokens) if said.status == 200 and isinstance(tokens, list) else None

    return count


def _usage_counter(endpoint: Endpoint, completions: bool) -> Callable[[str], int | None]:
    """Counts by the `usage` of a one-token answer: right by definition, at the price of a prefill."""

    def count(text: str) -> int | None:
        body = question(endpoint, text, 1, chat=not completions)
        path = endpoint.protocol.path(endpoint.model, chat=not completions, stream=False)
        said = endpoint.ask("POST", path, body, timeout=300.0)
        if said.status != 200:
            raise TargetError(
                f"{endpoint.url} does not answer a one-token request (HTTP {said.status}).",
                why=said.words,
                then="check the model's name, the API key and `endpoint:` (chat or completions)",
            )
        return endpoint.protocol.prompt_tokens(said.document)

    return count
