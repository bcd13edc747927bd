"""What quantization costs in quality, measured on text of one's own: perplexity, and whether answers stay the same.

Perplexity is exp of the mean negative log-likelihood per token that the server gives a text it did not write (Jelinek
et al. 1977). Servers tell likelihoods of given text in ways of their own, so this knows two: vLLM's `prompt_logprobs`
(one request), and llama.cpp's `n_probs` (a request a token, cheap by its prompt cache).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magics.errors import SpecError, StoreError

if TYPE_CHECKING:
    from openai import OpenAI

_WIDE = 4096  # most likely tokens that llama.cpp is asked for: the whole vocabulary of a small model


@dataclass(frozen=True)
class Quality:
    """How well a server predicts a text.

    Attributes
    ----------
    perplexity
        exp(mean negative log-likelihood a token); lower is better, 1 is certainty.
    tokens
        Tokens that were predicted.
    floored
        Of them, how many were less likely than all that the engine named: they count as likely as the last one named,
        so with any of them the perplexity is a lower bound.
    """

    model: str
    engine: str
    perplexity: float
    tokens: int
    floored: int = 0

    def __str__(self) -> str:
        bound = f" or more ({self.floored} tokens not named)" if self.floored else ""
        return f"{self.model} on {self.engine}: perplexity {self.perplexity:.4f}{bound} over {self.tokens} tokens"


def quality(server: Any, text: str) -> Quality:
    """The perplexity of a text under a server of ours.

    Parameters
    ----------
    server
        A `Server` of vLLM or llama.cpp.
    text
        What is predicted, at least two tokens; compare only figures of the same text and the same tokenizer.

    Raises
    ------
    SpecError
        For another engine, or a text that is too short.
    """
    ways = {"vllm": _by_prompt_logprobs, "llamacpp": _token_by_token}
    if server.engine not in ways:
        raise SpecError(
            f"{server.engine} does not say how likely a given text is.", why=f"known of: {', '.join(ways)}",
            then="serve the model with one of these",
        )  # fmt: skip
    likelihoods, floored = ways[server.engine](server, text)
    if not likelihoods:
        raise SpecError("The text is too short to be predicted.", then="give a paragraph")
    found = Quality(
        Path(str(server.record.model)).name,
        server.engine,
        math.exp(-sum(likelihoods) / len(likelihoods)),
        len(likelihoods),
        floored,
    )
    _note(found)
    return found


def agreement(one: Any, other: Any, prompts: Sequence[str], *, max_tokens: int = 64) -> float:
    """The share (0 to 1) of prompts that two servers answer word for word alike, each taking its likeliest token."""
    alike = [_answer(one, prompt, max_tokens) == _answer(other, prompt, max_tokens) for prompt in prompts]
    return sum(alike) / len(alike) if alike else math.nan


def _answer(server: Any, prompt: str, max_tokens: int) -> str:
    answer = server.client.chat.completions.create(
        model=server.model, messages=[{"role": "user", "content": prompt}], max_tokens=max_tokens, temperature=0
    )
    return str(answer.choices[0].message.content).strip()


def _by_prompt_logprobs(server: Any, text: str) -> tuple[list[float], int]:
    """vLLM: the likelihood of every token of a prompt but the first."""
    answer = server.client.completions.create(
        model=server.model, prompt=text, max_tokens=1, temperature=0, extra_body={"prompt_logprobs": 0}
    )
    named = answer.model_dump()["choices"][0]["prompt_logprobs"]
    # With 0 each position names the token that stands there, and it alone.
    return [next(iter(each.values()))["logprob"] for each in named if each], 0


def _token_by_token(server: Any, text: str) -> tuple[list[float], int]:
    """llama.cpp: before each token, how likely the server holds it."""
    tokens = _post(server.client, server.url, "/tokenize", {"content": text})["tokens"]
    found, floored = [], 0
    for place in range(1, len(tokens)):
        body = {"prompt": tokens[:place], "n_predict": 1, "n_probs": _WIDE, "temperature": 0, "cache_prompt": True}
        named = _post(server.client, server.url, "/completion", body)["completion_probabilities"][0]["top_logprobs"]
        likely = {each["id"]: each["logprob"] for each in named if each["logprob"] is not None}
        floored += tokens[place] not in likely
        found.append(likely.get(tokens[place], min(likely.values())))
    return found, floored


def _post(client: OpenAI, url: str, path: str, body: dict[str, Any]) -> Any:
    return client.post(url.rstrip("/") + path, cast_to=object, body=body)


def _note(found: Quality) -> None:
    from llm_magics.results.journal import Journal, server_facts

    facts = server_facts({"model": found.model, "engine": found.engine})
    with suppress(StoreError):
        Journal().note("quality", {**facts, "perplexity": found.perplexity, "tokens": found.tokens})
