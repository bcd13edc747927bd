"""From a cell's body or a call's keywords to a validated spec; errors name the key, its line and the nearest word.

YAML is read by the 1.2 rules that people expect (`yaml_rules`), and a key given twice is an error. yaml and pydantic
are loaded when something is read or built: a terminal's `list` does neither.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from pydantic import BaseModel

Spec = TypeVar("Spec", bound="BaseModel")

_SHAPE = re.compile(r"\{.*\}")  # of a mapping, as an option's description shows it
# Mappings of text: a number in them is the text that was written, `1.10` not 1.1.
_TEXTS = frozenset({"env", "lora_modules"})
_MAX_BODY = 100_000  # characters; a spec is a page at the most, and YAML aliases can blow a small text up


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
    import yaml

    from llm_magics.spec.yaml_rules import Loader

    if len(body) > _MAX_BODY:
        raise SpecError(f"The cell's body has {len(body)} characters; a spec has at most {_MAX_BODY}.")
    loader = None
    try:
        loader = Loader(body)
        node = loader.get_single_node()
        if node is None:
            return {}, {}
        if not isinstance(node, yaml.MappingNode):
            raise SpecError(
                f"Line {node.start_mark.line + first_line}: the body is not a list of `key: value` lines.",
                why=(body.strip().splitlines() or [""])[0],
                then="write one option a line, for example `max_model_len: 8192`",
            )
        values: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + first_line
            if not isinstance(key_node, yaml.ScalarNode) or not key_node.value:
                raise SpecError(f"Line {line}: an option's name is one word.", then="write `key: value`")
            key = key_node.value
            if key in lines:
                raise SpecError(f"Line {line}: {key} was given already on line {lines[key]}.", then="keep one")
            lines[key] = line
            if key in _TEXTS:
                _keep_text(value_node)
            values[key] = loader.construct_object(value_node, deep=True)
        return values, lines
    except yaml.YAMLError as error:
        from llm_magics.spec.yaml_faults import fault

        line, why, then = fault(error, body)
        where = "" if line is None else f"Line {line + first_line}: "
        raise SpecError(f"{where}the body is not valid YAML.", why=why, then=then) from error
    finally:
        if loader is not None:
            loader.dispose()


def read_value(text: str, key: str = "") -> Any:
    """One value by the same rules: what stands behind `key:` in a body or behind `--key` on a line.

    Raises
    ------
    SpecError
        When it is not a YAML value.
    """
    import yaml

    from llm_magics.spec.yaml_rules import Loader

    loader = None
    try:
        loader = Loader(text)
        node = loader.get_single_node()
        if key in _TEXTS:
            _keep_text(node)
        return None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        raise SpecError(
            f"{text!r} is not a value: {getattr(error, 'problem', error)}.", then="put it in quotes"
        ) from error
    finally:
        if loader is not None:
            loader.dispose()


def _keep_text(node: Any) -> None:
    """Make the numbers of a mapping the text they were written as."""
    import yaml

    for _, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(value, yaml.ScalarNode) and value.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
            value.tag = "tag:yaml.org,2002:str"


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
    from pydantic import ValidationError

    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        problems: dict[str, str] = {}
        then = ""
        found = error.errors()
        for item in found:
            key = str(item["loc"][0]) if item["loc"] else ""
            if key not in problems:
                others = [each for each in found if each["loc"] and each["loc"][0] == key]
                problems[key] = _say(kind, key, _as_one(item, others, values.get(key)), values, lines or {})
                then = then or _known(kind, item, problems[key])
        first, *more = problems.values()
        raise SpecError(first, why="\n".join(more), then=then) from None


_WRITE = {
    "literal_error": "{expected}",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a number that has an end",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
}  # what pydantic found wrong, as what to write instead


def _as_one(item: Any, alternatives: list[Any], given: Any) -> Any:
    """The error of an option that takes one of several kinds of value: what is told names them all."""
    if len(alternatives) < 2 or isinstance(given, (Mapping, list)):
        return item
    ways = [way for each in alternatives for way in _ways(each)]
    if not ways:
        return item
    return {**item, "type": "one_of", "msg": f"write {' or '.join(filter(None, (', '.join(ways[:-1]), ways[-1])))}"}


def _ways(item: Any) -> list[str]:
    if item["type"] == "value_error":
        said = str(item["msg"]).partition("write ")[2]
    elif item["type"] == "string_type":  # of a form that a text has beside the words that are listed
        return []
    else:
        said = _instead(item)
    return [way for way in re.split(r", or |, | or ", said) if way]


def _instead(item: Any) -> str:
    """What to write instead; "" where pydantic's own words have to do."""
    context = {name: str(value).replace("'", "").removesuffix(".0") for name, value in item.get("ctx", {}).items()}
    return _WRITE.get(item["type"], "").format(**context)


def _say(kind: type[BaseModel], key: str, item: Any, values: Mapping[str, Any], lines: Mapping[str, int]) -> str:
    message = str(item["msg"]).removeprefix("Value error, ")
    if not key:  # of several options together; the first word names one of them
        named = message.split(" ")[0].strip(":,")
        if named in kind.model_fields:
            return f"Line {lines[named]}: {message}." if named in lines else f"{message}."
        return message[0].upper() + message[1:] + "."
    where = f"Line {lines[key]}: " if key in lines else ""
    inner = str(item["loc"][1]) if len(item["loc"]) > 1 else ""
    if item["type"] == "extra_forbidden":
        if inner:
            return f"{where}{key} has no {inner!r}{nearest(inner, _inner_words(kind, key))}."
        return f"{where}there is no option {key!r}{nearest(key, list(kind.model_fields))}."
    given = values.get(key)
    shape = _SHAPE.search(kind.model_fields[key].description or "") if key in kind.model_fields else None
    if item["type"] in ("dict_type", "model_type") and shape is not None:
        message = f"takes {shape[0]}"
    if isinstance(given, Mapping) and inner in map(str, given):
        key, given = f"{key}: {inner}", next(value for name, value in given.items() if str(name) == inner)
    if instead := _instead(item):
        message = f"write {instead}"
    message = message.removeprefix(f"{given!r} ")  # what was written stands before it
    shown = f"{key}: {given}" if not isinstance(given, (dict, list)) and len(str(given)) < 80 else key
    return f"{where}{shown} - {message}."


def _known(kind: type[BaseModel], item: Any, said: str) -> str:
    """What there is, where an unknown option has no neighbour to name."""
    if item["type"] != "extra_forbidden" or "did you mean" in said:
        return ""
    if len(item["loc"]) > 1:
        return f"{item['loc'][0]} takes: {', '.join(_inner_words(kind, str(item['loc'][0])))}"
    return f"options: {', '.join(kind.model_fields)}"


def _inner_words(kind: type[BaseModel], key: str) -> list[str]:
    return list(getattr(kind.model_fields[key].annotation, "model_fields", {}))


def nearest(word: str, words: list[str]) -> str:
    """` (did you mean 'x'?)` for the closest of some words, or nothing; goes inside a sentence."""
    close = closest(word, words)
    return f" (did you mean {close!r}?)" if close is not None else ""


def closest(word: str, words: list[str]) -> str | None:
    """The one of some words that a word was meant to be; None where none is near."""
    return next(iter(difflib.get_close_matches(word, words, n=1, cutoff=0.6)), None)
