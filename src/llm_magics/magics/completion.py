"""Completion of verbs, names, options and their values, on a magic's line and in its YAML body."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

    from llm_magics.runtime.record import Record

_MAGIC = re.compile(r"^\s*%%?(serve|bench|compare|llm)\b(.*)$")
_OPTION = re.compile(r"--([\w-]+)[ =](?:[^\s,=]+,)*$")  # the option whose value, or list of values, is being written
_SWEPT = re.compile(r"--sweep[ =](\w+)=(?:[^\s,=]+,)*$")  # the same behind `--sweep dtype=`
_KEY = re.compile(r"^(\s*)([\w-]+):(.*)$")

# Whom a verb is about, where it is not those that run: logs and specs outlive their server.
_NAMED_BY: dict[str, Callable[[Record], bool]] = {
    **dict.fromkeys(("logs", "runbook", "deploy"), lambda _: True),
    "dismiss": lambda record: not record.alive and record.state != "elsewhere",
    "stop": lambda record: record.alive or record.state == "lost",
    "sleep": lambda record: record.state == "ready" and not record.asleep,
    "wake": lambda record: record.asleep,
}


@context_matcher()  # type: ignore[untyped-decorator]
def complete(context: CompletionContext) -> dict[str, Any]:
    """IPython's matcher protocol: completions for the word before the cursor, or none."""
    lines = context.full_text.split("\n")
    magic = _MAGIC.match(lines[0]) if lines else None
    if magic is None:
        return {"completions": [], "suppress": False}
    word = re.split(r"[\s,=\[{]", context.text_until_cursor)[-1]
    before = context.text_until_cursor[: len(context.text_until_cursor) - len(word)]
    if context.cursor_line == 0:
        found = _on_line(magic[1], before, word)
    else:
        found = _in_body(magic[1], lines[: context.cursor_line], before)
    matching = sorted({text for text in found if text.startswith(word) and text != word})
    return {
        "completions": [SimpleCompletion(text, type="param") for text in matching],
        "matched_fragment": word,
        "suppress": bool(matching),
    }


def _on_line(magic: str, before: str, word: str) -> list[str]:
    from llm_magics import lines, verbs
    from llm_magics.magics import values
    from llm_magics.spec import ServerSpec

    if magic == "llm":
        words = before.split()[1:]
        if not words:
            return verbs.names()
        if words[0] not in verbs.names():
            return []
        parser, typed = verbs.parser(words[0], "%llm"), words[1:]
    else:
        parser, typed = getattr(lines, magic)("%"), before.split()[1:]
    if swept := _SWEPT.search(before):
        return values.of(swept[1], ServerSpec)
    actions = parser._option_string_actions  # noqa: SLF001 - argparse has no other way to ask
    option = _OPTION.search(before)
    action = actions.get(f"--{option[1].replace('_', '-')}") if option else None
    if action is not None and action.nargs != 0:
        return _of_option(magic, action)
    options = [text for text in actions if text.startswith("--")]
    if word.startswith("-"):
        return options
    # Where nothing is there to be named the options are offered: else IPython would offer keywords and files.
    return _of_place(parser, typed) or ([] if word else options)


def _of_option(magic: str, action: Any) -> list[str]:
    """The values of an option on the line."""
    from llm_magics.magics import values
    from llm_magics.spec import ServerSpec

    if action.choices:
        return list(map(str, action.choices))
    if action.dest == "sweep":
        return [f"{name}=" for name in values.options(ServerSpec)]
    if action.dest in ("on", "workers_on") and magic == "bench":
        return ["ray"]
    if action.dest == "probe":
        return values.servers() or ["http://"]  # nothing: keywords and files would be
    return values.of(action.dest, *_specs(magic))


def _of_place(parser: Any, typed: list[str]) -> list[str]:
    """What may stand at this place of a line: by the name that its parser gives it."""
    from llm_magics.magics import values

    places = [action for action in parser._actions if not action.option_strings]  # noqa: SLF001
    at = sum(not each.startswith("-") for each in typed)
    place = places[min(at, len(places) - 1)] if places else None
    if place is None or (at >= len(places) and place.nargs != "*"):
        place = next((each for each in places if each.dest in ("name", "target")), None)
    if place is None:
        return []
    if place.choices:
        return list(map(str, place.choices))
    if place.dest == "name":
        return values.servers(_NAMED_BY.get(parser.prog.split()[-1], values.running))
    by_name = {
        "target": values.servers, "targets": values.servers, "engine": values.engines, "names": values.engines,
        "model": values.models, "task": values.tasks, "run": values.runs,
    }  # fmt: skip
    return by_name[place.dest]() if place.dest in by_name else []


def _in_body(magic: str, above: list[str], before: str) -> list[str]:
    """What may stand in a body: an option, a value behind its colon, a key of its mapping."""
    from llm_magics.magics import values

    kinds = _specs(magic) if magic == "serve" or magic == "bench" or "--load" in above[0] else ()
    inside, text = _mapping(above, before)
    if inside is not None:
        return [f"{key}: " for key in values.keys(inside, *kinds)]
    if (written := _KEY.match(text)) is not None:
        return [] if "{" in written[3] or written[1] else values.of(written[2].strip(), *kinds)
    if text.strip():
        return []
    sweep = ["sweep"] if magic == "bench" else []
    return [f"{name}: " for name in (*(name for kind in kinds for name in values.options(kind)), *sweep)]


def _mapping(above: list[str], before: str) -> tuple[str | None, str]:
    """The option in whose mapping a key is being written, in braces or indented below it; and the line so far."""
    written = _KEY.match(before)
    if written is not None and (opened := written[3].rpartition("{"))[1] and "}" not in opened[2]:
        part = opened[2].rpartition(",")[2]
        return (None if ":" in part else written[2]), before
    if written is None and before[:1].isspace() and not before.strip():
        for line in reversed(above[1:]):
            parent = _KEY.match(line)
            if parent is not None and len(parent[1]) < len(before):
                return parent[2], before
    return None, before


def _specs(magic: str) -> tuple[type[BaseModel], ...]:
    """The specs whose options a magic takes."""
    from llm_magics.spec import ServerSpec, Workload

    specs: dict[str, tuple[type[BaseModel], ...]] = {
        "serve": (ServerSpec,),
        "bench": (Workload,),
        "compare": (Workload, ServerSpec),
    }
    return specs.get(magic, ())
