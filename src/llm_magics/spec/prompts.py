"""What is sent, as a user writes it: the kinds of prompts, and which options go with which.

An option of another kind of prompts would be dropped without a word; so it is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, PlainValidator

from llm_magics.spec.quantities import seconds

if TYPE_CHECKING:
    from llm_magics.spec.workload import Workload

Kind = Literal["random", "sonnet", "prefix", "file", "dataframe", "trace"]

GENERATED = ("random", "sonnet", "prefix")
_ONLY_FOR = {
    "path": ("file", "trace"),
    "data": ("dataframe",),
    "column": ("file", "dataframe"),
    "prefix_tokens": ("prefix",),
    "prefixes": ("prefix",),
    "text": ("prefix", "trace"),
    "input_tokens": GENERATED,
    "input_spread": GENERATED,
    "images": GENERATED,
    "image_size": GENERATED,
    "turns": (*GENERATED, "file", "dataframe"),
}
_SIZE = re.compile(r"^\s*(\d+)\s*[xX]\s*(\d+)\s*$")
_LARGEST = 8192  # pixels a side
_FILES = {
    "file": "a JSONL, CSV or ShareGPT JSON file",
    "trace": "a Mooncake JSONL, or a CSV of BurstGPT or Azure's inference trace",
}


def _size(value: Any) -> tuple[int, int]:
    """Width and height in pixels, of `512x384`, `512` or `[512, 384]`."""
    match = _SIZE.match(value) if isinstance(value, str) else None
    given = [int(match[1]), int(match[2])] if match else [value, value] if isinstance(value, int) else value
    if not isinstance(given, (list, tuple)) or len(given) != 2 or not all(
        isinstance(side, int) and not isinstance(side, bool) and 1 <= side <= _LARGEST for side in given
    ):  # fmt: skip
        raise ValueError(f"{value!r} is not a size: write 512x512 (pixels, at most {_LARGEST} a side)")
    return (given[0], given[1])


def _think(value: Any) -> tuple[float, float]:
    """Shortest and longest pause, s, of `2s` or `[1s, 5s]`."""
    ends = list(value) if isinstance(value, (list, tuple)) else [value, value]
    if len(ends) != 2:
        raise ValueError("takes a time or two: 2s, or [1s, 5s] for anything between")
    low, high = map(seconds, ends)
    if high < low:
        raise ValueError("the second time is the longer one: [1s, 5s]")
    return (low, high)


def _models(value: Any) -> dict[str, float] | None:
    """Model -> share of the requests, adding up to 1; of a mapping of weights or a list of names."""
    if value is None:
        return None
    named = dict.fromkeys(value, 1.0) if isinstance(value, (list, tuple)) else value
    if not isinstance(named, Mapping) or not named or not all(isinstance(name, str) and name for name in named):
        raise ValueError("takes {base: 0.5, adapter: 0.5}: names the server knows, and their weights")
    for name, weight in named.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < float("inf"):
            raise ValueError(f"the weight of {name!r} is {weight!r}; weights are numbers above 0")
    total = sum(named.values())
    return {name: weight / total for name, weight in named.items()}


def _schema(value: Any) -> dict[str, Any] | None:
    """A JSON schema: a mapping, a file that holds one, or a pydantic model."""
    if value is None:
        return None
    if isinstance(value, type) and issubclass(value, BaseModel):
        return value.model_json_schema()
    if isinstance(value, str):
        file = Path(value).expanduser()
        try:
            value = json.loads(value if value.lstrip().startswith("{") else file.read_text(encoding="utf-8"))
        except OSError as error:
            raise ValueError(f"{value} cannot be read: {error.strerror}; write the schema, or a file's path") from None
        except ValueError as error:
            raise ValueError(f"this is not JSON: {error}") from None
    if not isinstance(value, Mapping):
        raise ValueError("takes a JSON schema {type: object, properties: ...}, or the path of a file with one")
    found = dict(value)
    _check_schema(found)
    return found


def _check_schema(schema: dict[str, Any]) -> None:
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = "/".join(map(str, error.absolute_path))
        raise ValueError(f"this is no JSON schema{f' (at {where})' if where else ''}: {error.message}") from None


ImageSize = Annotated[Any, PlainValidator(_size)]
Think = Annotated[Any, PlainValidator(_think)]
Models = Annotated[Any, PlainValidator(_models)]
Schema = Annotated[Any, PlainValidator(_schema)]


def check_prompts(work: Workload) -> None:
    """Refuse options that do nothing for this kind of prompts, and kinds that lack what they need.

    Raises
    ------
    ValueError
        Names the option.
    """
    if work.workload in _FILES and work.path is None:
        raise ValueError(f"workload: {work.workload} needs path: {_FILES[work.workload]}")
    if work.workload in _FILES and not Path(str(work.path)).expanduser().is_file():
        raise ValueError(f"there is no file {work.path}")
    if work.workload == "dataframe" and work.data is None:
        raise ValueError("workload: dataframe needs data: a DataFrame, from Python or as `--data NAME`")
    for option, kinds in _ONLY_FOR.items():
        if work.given(option) and work.workload not in kinds:
            raise ValueError(
                f"{option} does nothing for workload: {work.workload}; it belongs to {' and '.join(kinds)}"
            )
    if len(work.prefix_tokens) != len(work.prefixes) and work.given("prefix_tokens") and work.given("prefixes"):
        raise ValueError(
            f"prefixes has {len(work.prefixes)} levels and prefix_tokens {len(work.prefix_tokens)}: "
            "write one number of each for every level"
        )
    _check_messages(work)
    if work.json_schema is not None and work.given("ignore_eos") and work.ignore_eos:
        raise ValueError("ignore_eos: true goes on after the JSON has ended; leave it out with json_schema")


def _check_messages(work: Workload) -> None:
    """Conversations and images are messages."""
    for option, used in (("turns", work.turns > 1), ("images", work.images > 0)):
        if used and work.endpoint != "chat":
            raise ValueError(f"{option} needs endpoint: chat, whose messages can hold them")
    for option in ("think", "conversations"):
        if work.given(option) and work.turns == 1:
            raise ValueError(f"{option} belongs to conversations: say how many turns they have (turns: 4)")
    if work.given("image_size") and not work.images:
        raise ValueError("image_size belongs to images: say how many each request has (images: 1)")
    if work.conversations is not None and work.requests is not None:
        raise ValueError("conversations and requests exclude each other: count one of them")
