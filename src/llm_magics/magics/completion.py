"""Completion of verbs, names, engines and options, on a magic's line and in its YAML body."""

from __future__ import annotations

import re
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher

_MAGIC = re.compile(r"^\s*%%?(serve|bench|compare|llm)\b(.*)$")
_OPTION = re.compile(r"(--[\w-]+)[ =](?:[^\s,=]+,)*$")  # the option whose value, or list of values, is being written


@context_matcher()  # type: ignore[untyped-decorator]
def complete(context: CompletionContext) -> dict[str, Any]:
    """IPython's matcher protocol: completions for the word before the cursor, or none."""
    lines = context.full_text.split("\n")
    magic = _MAGIC.match(lines[0]) if lines else None
    if magic is None:
        return {"completions": [], "suppress": False}
    word = re.split(r"[\s,=\[]", context.text_until_cursor)[-1]
    on_line = context.cursor_line == 0
    before = context.text_until_cursor[: len(context.text_until_cursor) - len(word)]
    found = _on_line(magic[1], before, word) if on_line else _in_body(magic[1], lines[0], context.text_until_cursor)
    matching = sorted({text for text in found if text.startswith(word) and text != word})
    return {
        "completions": [SimpleCompletion(text, type="param") for text in matching],
        "matched_fragment": word,
        "suppress": bool(matching),
    }


def _on_line(magic: str, before: str, word: str) -> list[str]:
    from llm_magics import lines, verbs

    option = found[1] if (found := _OPTION.search(before)) else ""
    if option in ("--engine", "--engines"):
        return _engines()
    if option == "--model":
        return ["tiny"]
    if option == "--sweep":
        from llm_magics.spec import ServerSpec

        return [f"{name}=" for name in ServerSpec.model_fields if name != "name"]
    if magic == "llm":
        words = before.split()[1:]
        if not words:
            return verbs.names()
        if word.startswith("-"):
            return _options(verbs.parser(words[0], "%llm")) if words[0] in verbs.names() else []
        return _servers()
    if word.startswith("-"):
        return _options(getattr(lines, magic)("%"))
    return _servers()


def _in_body(magic: str, line: str, text: str) -> list[str]:
    from llm_magics.spec import ServerSpec, Workload

    if ":" in text:
        key = text.split(":")[0].strip()
        return {"engine": _engines(), "model": ["tiny"], "search": ["slo", "saturation"]}.get(key, [])
    if magic == "serve":
        return [f"{name}: " for name in ServerSpec.model_fields if name != "name"]
    if magic == "bench" or "--load" in line:
        sweep = ["sweep: "] if magic == "bench" else []
        return [*(f"{name}: " for name in Workload.model_fields if name != "data"), *sweep]
    return []


def _options(parser: Any) -> list[str]:
    return [text for text in parser._option_string_actions if text.startswith("--")]  # noqa: SLF001


def _engines() -> list[str]:
    from llm_magics import engines

    return engines.names()


def _servers() -> list[str]:
    from llm_magics.runtime.registry import Registry

    return [record.name for record in Registry().list() if record.alive]
