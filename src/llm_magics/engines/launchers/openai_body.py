"""A request's body as work to do: every field is carried out or refused by name, never passed over in silence.

What a client may say is OpenAI's, and vLLM's further sampling fields; what static batches cannot do is refused with
400, as the engines with a server of their own do. Numbers are checked for what JSON lets through: NaN, 1e999, true.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from generation import Ask

# Fields that change nothing of an answer here: who asks, and what is said elsewhere in this module.
HARMLESS = frozenset(
    {"model", "messages", "prompt", "stream", "stream_options", "user", "metadata", "store", "service_tier",
     "safety_identifier", "prompt_cache_key", "add_special_tokens", "skip_special_tokens"}
)  # fmt: skip
# Fields that this server does not carry out -> the values with which they ask for nothing.
IDLE: Mapping[str, tuple[Any, ...]] = {
    "n": (1,), "best_of": (1,), "echo": (False,), "suffix": ("",), "logprobs": (False, 0), "top_logprobs": (0,),
    "prompt_logprobs": (0,), "tools": ([],), "tool_choice": ("none", "auto"), "functions": ([],),
    "function_call": ("none", "auto"), "parallel_tool_calls": (True, False), "response_format": ({"type": "text"},),
    "modalities": (["text"],), "audio": (), "prediction": (), "reasoning_effort": (), "verbosity": (),
    "web_search_options": (), "use_beam_search": (False,), "length_penalty": (1,), "early_stopping": (False,),
    "spaces_between_special_tokens": (True,), "include_stop_str_in_output": (False,), "guided_json": (),
    "guided_regex": (), "guided_choice": (), "guided_grammar": (), "structured_outputs": (), "typical_p": (1,),
    "allowed_token_ids": (), "bad_words": ([],), "truncate_prompt_tokens": (), "dry_multiplier": (0,), "mirostat": (0,),
    "return_tokens_as_token_ids": (False,), "echo_prompt": (False,), "continue_final_message": (False,),
    "add_generation_prompt": (True,), "documents": ([],), "chat_template": (), "logit_processors": (),
}  # fmt: skip
SAMPLING = ("temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty")
READ = frozenset(
    {"max_tokens", "max_completion_tokens", "min_tokens", "seed", "stop", "stop_token_ids", "ignore_eos", "logit_bias",
     "chat_template_kwargs", *SAMPLING}
)  # fmt: skip


class Refused(Exception):  # noqa: N818 - it is one, and the name says which
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def asked(kind: str, body: Mapping[str, Any], *, name: str, context: int, tokenizer: Any, vocabulary: int) -> Ask:
    """The work that a body asks for.

    Parameters
    ----------
    kind
        `chat.completion` or `text_completion`.
    name
        The model that is served.
    context
        Longest prompt and answer together, tokens.
    vocabulary
        Token numbers are below it.

    Raises
    ------
    Refused
        For what this server cannot do.
    """
    if body.get("model") not in (None, name):
        raise Refused(404, f"The model {_shown(body['model'])} does not exist; this server has {name!r}.")
    for field, value in body.items():
        if field in IDLE:
            if value is not None and not any(value == idle and type(value) is type(idle) for idle in IDLE[field]):
                raise Refused(400, f"{field} is not supported by this server.")
        elif field not in HARMLESS and field not in READ:
            raise Refused(400, f"{_shown(field)} is not a field this server knows.")
    ids = _prompt(kind, body, tokenizer, vocabulary)
    room = context - len(ids)
    wanted = length(body, "max_completion_tokens")
    most = wanted if wanted is not None else length(body)
    if most is None:
        most = room if kind == "chat.completion" else min(16, room)
    if most < 1 or most > room:
        raise Refused(
            400,
            f"This model's maximum context length is {context} tokens; {len(ids)} in the prompt and "
            f"{most} for the answer were asked for.",
        )
    return sampled(ids, most, body, vocabulary)


def sampled(ids: list[int], most: int, body: Mapping[str, Any], vocabulary: int) -> Ask:
    """A prompt and a length with the sampling that a body asks for; `Refused` for a value that is none."""
    return Ask(
        ids, most, min_tokens=min(_whole(body, "min_tokens", 0, least=0) or 0, most),
        temperature=_number(body, "temperature", 1.0, 0.0, 100.0), top_p=_number(body, "top_p", 1.0, 0.0, 1.0),
        top_k=max(0, _whole(body, "top_k", 0, least=-1) or 0), min_p=_number(body, "min_p", 0.0, 0.0, 1.0),
        presence=_number(body, "presence_penalty", 0.0, -2.0, 2.0),
        frequency=_number(body, "frequency_penalty", 0.0, -2.0, 2.0),
        repetition=_number(body, "repetition_penalty", 1.0, 0.01, 100.0),
        bias=_bias(body.get("logit_bias"), vocabulary), seed=_seed(body), stop=_stop(body.get("stop")),
        stop_ids=frozenset(_ids(body.get("stop_token_ids") or [], "stop_token_ids", vocabulary)),
        ignore_eos=_flag(body, "ignore_eos"),
    )  # fmt: skip


def length(body: Mapping[str, Any], name: str = "max_tokens", default: int | None = None) -> int | None:
    """A length that a body asks for, tokens; `Refused` for what is none."""
    return _whole(body, name, default)


def tokens(body: Mapping[str, Any], tokenizer: Any) -> list[int]:
    """The tokens of `/tokenize`'s text."""
    text = body.get("prompt")
    if not isinstance(text, str):
        raise Refused(400, "prompt must be a text.")
    special = body.get("add_special_tokens", True)
    return _tokenized(tokenizer, text, special=bool(special))


def usage_asked(body: Mapping[str, Any]) -> bool:
    """Whether a stream ends with a chunk of usage."""
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise Refused(400, "stream_options must be an object.")
    return bool(options and options.get("include_usage"))


def _prompt(kind: str, body: Mapping[str, Any], tokenizer: Any, vocabulary: int) -> list[int]:
    if kind == "chat.completion":
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages or not all(isinstance(each, dict) for each in messages):
            raise Refused(400, "messages is missing, empty, or no list of objects.")
        further = body.get("chat_template_kwargs") or {}
        if not isinstance(further, dict):
            raise Refused(400, "chat_template_kwargs must be an object.")
        try:
            text = tokenizer.apply_chat_template(messages, **further, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # noqa: BLE001 - a template raises what it likes
            raise Refused(400, f"The chat template refuses the messages: {_shown(str(error))}") from None
        found = _tokenized(tokenizer, str(text), special=False)
    elif isinstance(prompt := body.get("prompt"), list) and prompt and not isinstance(prompt[0], str):
        found = _ids(prompt, "prompt", vocabulary)
    elif isinstance(prompt, str) and prompt:
        found = _tokenized(tokenizer, prompt, special=True)
    else:
        raise Refused(400, "prompt must be one text, or one list of token numbers.")
    if not found:
        raise Refused(400, "The prompt has no tokens.")
    return found


def _tokenized(tokenizer: Any, text: str, *, special: bool) -> list[int]:
    try:
        return [int(each) for each in tokenizer(text, add_special_tokens=special)["input_ids"]]
    except (UnicodeError, TypeError, ValueError) as error:  # half a surrogate pair, which JSON can spell
        raise Refused(400, f"The text cannot be made tokens: {_shown(str(error))}") from None


def _ids(value: Any, name: str, vocabulary: int) -> list[int]:
    if not isinstance(value, list) or not all(isinstance(each, int) and not isinstance(each, bool) for each in value):
        raise Refused(400, f"{name} must be a list of token numbers.")
    wrong = [each for each in value if not 0 <= each < vocabulary]
    if wrong:
        raise Refused(400, f"{name}: {_shown(wrong[0])} is no token; the vocabulary ends at {vocabulary - 1}.")
    return list(value)


def _bias(value: Any, vocabulary: int) -> dict[int, float]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refused(400, "logit_bias must be an object: token number -> -100 to 100.")
    if wrong := [key for key in value if not (key.isascii() and key.isdigit() and len(key) < 10)]:
        raise Refused(400, f"logit_bias: {_shown(wrong[0])} is no token number.")
    found = dict(zip(_ids([int(key) for key in value], "logit_bias", vocabulary), value.values(), strict=True))
    return {token: _number({"logit_bias": each}, "logit_bias", 0.0, -100.0, 100.0) for token, each in found.items()}


def _stop(value: Any) -> list[str]:
    words = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise Refused(400, "stop must be a text or a list of texts.")
    return [word for word in words if word]


def _seed(body: Mapping[str, Any]) -> int | None:
    seed = _whole(body, "seed", least=-(2**63))
    return None if seed is None else seed % 2**63


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value not in (None, True, False) or isinstance(value, float):
        raise Refused(400, f"{name} must be true or false, not {_shown(value)}.")
    return bool(value)


def _whole(body: Mapping[str, Any], name: str, default: int | None = None, least: int = -(2**31)) -> int | None:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused(400, f"{name} must be a whole number, not {_shown(value)}.")
    if not least <= value < 2**63:
        raise Refused(400, f"{name} must be from {least} to {2**63 - 1}, not {_shown(value)}.")
    return value


def _number(body: Mapping[str, Any], name: str, default: float, least: float, most: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(_real(value)):
        raise Refused(400, f"{name} must be a number, not {_shown(value)}.")
    if not least <= value <= most:
        raise Refused(400, f"{name} must be from {least:g} to {most:g}, not {_shown(value)}.")
    return float(value)


def _real(value: float) -> float:
    """A number as a float; a whole number of thousands of digits is none."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _shown(value: Any) -> str:
    """A value in an error, not longer than a line."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except ValueError:  # more digits than Python writes
        text = "a number of thousands of digits"
    text = repr(text) if isinstance(value, str) else text
    return text.encode("utf-8", "replace").decode() if len(text) <= 200 else f"{text[:200]!a}…"
