"""What an option can be: the words that are offered behind `dtype:` in a cell's body and behind `--dtype` on a line.

The choices are the specs' own (`Literal`, flags), the words that an option's description names, and what is known on
this machine: engines, servers, models.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic import BaseModel

    from llm_magics.runtime.record import Record

# Text to the spec, for each engine or cluster has words of its own; the usual ones stand in the description.
_DESCRIBED = frozenset({"dtype", "quantization", "kv_cache_dtype", "load_format", "on", "workers_on"})
_WORD = re.compile(r"`(\w[\w.-]*)`")
_SHAPE = re.compile(r"\{([^{}]*)\}")  # of a mapping, as a description shows it
_KEY = re.compile(r"(?:^|, *)([a-z]\w*):")
_NAMED_BY_USERS = frozenset({"models", "json_schema"})  # the keys of their shapes stand for a user's own


def of(option: str, *kinds: type[BaseModel]) -> list[str]:
    """The values to offer for an option of some specs; none where it takes a number or a user's own word."""
    known = {"engine": engines, "engines": engines, "model": models, "tokenizer": models, "target": servers}
    if option in known:
        return known[option]()
    for kind in kinds:
        if (field := kind.model_fields.get(option)) is not None:
            described = _WORD.findall(field.description or "") if option in _DESCRIBED else []
            return list(dict.fromkeys([*_choices(field.annotation), *described]))
    return []


def keys(option: str, *kinds: type[BaseModel]) -> list[str]:
    """The keys that an option's mapping takes: `ttft`, `tpot` and `e2e` of `slo`."""
    from llm_magics.spec import ServerSpec

    if option == "sweep":
        return options(ServerSpec)
    for kind in kinds:
        if (field := kind.model_fields.get(option)) is not None and option not in _NAMED_BY_USERS:
            inner = list(getattr(field.annotation, "model_fields", {}))
            shown = [key for shape in _SHAPE.findall(field.description or "") for key in _KEY.findall(shape)]
            return inner or list(dict.fromkeys(shown))
    return []


def options(kind: type[BaseModel]) -> list[str]:
    """What may stand before a colon in a body, or is swept: the name stands on the line, data has an option there."""
    return [name for name, field in kind.model_fields.items() if name != "name" and not field.exclude]


def engines() -> list[str]:
    """Every engine's key."""
    from llm_magics.engines import names

    return names()


def running(record: Record) -> bool:
    """Whether a server runs."""
    return record.alive


def servers(which: Callable[[Record], bool] = running) -> list[str]:
    """The servers that run, or those of some kind."""
    from llm_magics.runtime.registry import Registry

    return [record.name for record in Registry().list() if which(record)]


def runs() -> list[str]:
    """The newest stored runs, by their ids."""
    from llm_magics.errors import StoreError
    from llm_magics.results.store import RunStore

    try:
        return [row.id for row in RunStore().list(50)]
    except StoreError:
        return []


def models() -> list[str]:
    """The model that ships, those of servers that are known, and those that the hub's cache holds."""
    from llm_magics.advice.model_facts import cached
    from llm_magics.models import TINY
    from llm_magics.runtime.registry import Registry

    return list(dict.fromkeys([TINY, *(record.model for record in Registry().list()), *cached()]))


def tasks() -> list[str]:
    """The tasks of the learning path."""
    from llm_magics.learn.path import tasks

    return [task.id for task in tasks()]


def _choices(annotation: Any) -> Iterator[str]:
    if annotation is bool:
        yield from ("true", "false")
    elif get_origin(annotation) is Literal:
        yield from map(str, get_args(annotation))
    elif get_origin(annotation) is not dict:
        for inner in get_args(annotation):
            yield from _choices(inner)
