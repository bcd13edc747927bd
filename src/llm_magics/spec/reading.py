"""From a cell's body or a call's keywords to a validated spec; errors name the key, its line and the nearest word.

YAML is read by the 1.2 rules people expect: only `true` and `false` are booleans, `12:30` is text, `1e3` is a number,
a key given twice is an error.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from llm_magics.errors import SpecError

Spec = TypeVar("Spec", bound=BaseModel)

_MAX_BODY = 100_000  # characters; a spec is a page at the most, and YAML aliases can blow a small text up


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2's idea of booleans and numbers, and no aliases."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases (*) are not taken here", event.start_mark)
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", "~nN"),
    ("int", r"^[-+]?(?:0|[1-9][0-9_]*)$", "-+0123456789"),
    (
        "float",
        r"^[-+]?(?:\d[\d_]*\.\d*|\.\d+|\d[\d_]*(?=[eE]))(?:[eE][-+]?\d+)?$|^[-+]?\.(?:inf|Inf|INF)$",
        "-+.0123456789",
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^$"), [""])


def read_mapping(body: str, *, first_line: int = 2) -> tuple[dict[str, Any], dict[str, int]]:
    """The mapping that a cell's body holds, and the line of the cell that each key stands on.

    Parameters
    ----------
    body
        The cell without its magic line.
    first_line
        The line of the cell on which the body starts: 2 below a magic line.

    Raises
    ------
    SpecError
        When the body is not YAML, not a mapping, too long, or gives a key twice.
    """
    if len(body) > _MAX_BODY:
        raise SpecError(f"The cell's body has {len(body)} characters; a spec has at most {_MAX_BODY}.")
    loader = None
    try:
        loader = _Loader(body)
        node = loader.get_single_node()
        if node is None:
            return {}, {}
        if not isinstance(node, yaml.MappingNode):
            raise SpecError(
                f"Line {node.start_mark.line + first_line}: the body is not a list of `key: value` lines.",
                why=(body.strip().splitlines() or [""])[0],
                then="write one option a line, for example `max_model_len: 8192`",
            )
        lines: dict[str, int] = {}
        for key_node, _ in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + first_line
            if key in lines:
                raise SpecError(f"Line {line}: {key} was given already on line {lines[key]}.", then="keep one")
            lines[key] = line
        return {str(k): v for k, v in loader.construct_document(node).items()}, lines
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"Line {mark.line + first_line}: " if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        raise SpecError(
            f"{where}the body is not valid YAML.", why=str(problem), then="quote text that holds : # { or ["
        ) from error
    finally:
        if loader is not None:
            loader.dispose()


def read_value(text: str) -> Any:
    """One value by the same rules: what stands behind `key:` in a body or behind `--key` on a line.

    Raises
    ------
    SpecError
        When it is not a YAML value.
    """
    loader = None
    try:
        loader = _Loader(text)
        return loader.get_single_data()
    except yaml.YAMLError as error:
        raise SpecError(
            f"{text!r} is not a value: {getattr(error, 'problem', error)}.", then="put it in quotes"
        ) from error
    finally:
        if loader is not None:
            loader.dispose()


def build(kind: type[Spec], values: Mapping[str, Any], lines: Mapping[str, int] | None = None) -> Spec:
    """A validated `kind` from what was written.

    Parameters
    ----------
    values
        Option -> value, from YAML and the magic's line.
    lines
        Option -> line of the cell, for the error; options given on the magic's line have none.

    Raises
    ------
    SpecError
        Names every wrong key or value with its line, and the nearest spelling of an unknown key.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        seen: dict[str, str] = {}
        for item in error.errors():
            key = str(item["loc"][0]) if item["loc"] else ""
            seen.setdefault(key, _say(kind, key, item, values, lines or {}))
        problems = list(seen.values())
        known = ", ".join(kind.model_fields)
        unknown = (
            any(item["type"] == "extra_forbidden" for item in error.errors()) and "did you mean" not in problems[0]
        )
        raise SpecError(
            problems[0],
            why="\n".join(problems[1:]),
            then=f"options: {known}" if unknown else "",
        ) from None


def _say(kind: type[BaseModel], key: str, item: Any, values: Mapping[str, Any], lines: Mapping[str, int]) -> str:
    where = f"Line {lines[key]}: " if key in lines else ""
    if item["type"] == "extra_forbidden":
        if len(item["loc"]) > 1:
            inner = str(item["loc"][-1])
            annotation = kind.model_fields[key].annotation
            words = list(getattr(annotation, "model_fields", {}))
            return f"{where}{key} has no {inner!r}{nearest(inner, words)}."
        return f"{where}there is no option {key!r}{nearest(key, list(kind.model_fields))}."
    message = str(item["msg"]).removeprefix("Value error, ")
    if not key:
        return message[0].upper() + message[1:] + "."
    given = values.get(key)
    shown = f"{key}: {given}" if not isinstance(given, (dict, list)) and len(str(given)) < 80 else key
    return f"{where}{shown} - {message}."


def nearest(word: str, words: list[str]) -> str:
    """`; did you mean 'x'?` for the closest of some words, or nothing."""
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
