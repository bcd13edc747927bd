"""What one types in a terminal: a spec as a line of options, and a notebook's words as the terminal's.

The other direction of `spec.line`: what this writes, those parsers read as the same spec.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from llm_magics.errors import SpecError
from llm_magics.spec.reading import read_value

PROG = "llm-magics"
HIDDEN = "***"  # stands for a secret in a spec that was shown or stored

# A cell magic (`%%`) stays: it shows a cell, body and all.
_MAGIC = re.compile(r"(?<!%)%(?:llm (?=[a-z])|(?=(?:serve|bench|compare)\b))")


def in_terminal(text: str) -> str:
    """What a notebook's user would type, as it is typed in a terminal: `%llm list` is `llm-magics list`.

    Messages are written once, in a notebook's words.
    """
    return _MAGIC.sub(f"{PROG} ", text)


def options(spec: Mapping[str, Any]) -> str:
    """Options of a spec as they stand on a line of a shell; what is empty is left out.

    A variable whose value was hidden is named and taken from the shell's own: `--env HF_TOKEN="$HF_TOKEN"`.
    """
    return " ".join(word for key, value in spec.items() if value not in (None, {}, []) for word in _words(key, value))


def _words(key: str, value: Any) -> Iterator[str]:
    flag = f"--{key.replace('_', '-')}"
    if key in ("env", "lora_modules"):
        for name, each in value.items():
            yield f'{flag} {name}="${name}"' if each == HIDDEN else f"{flag} {shlex.quote(f'{name}={each}')}"
    elif key == "args":
        yield f"{flag} {shlex.quote(shlex.join(value))}"
    elif isinstance(value, dict):
        yield f"{flag} {shlex.quote(json.dumps(value))}"
    elif isinstance(value, list):
        yield f"{flag} {','.join(map(str, value))}"
    else:
        yield f"{flag} {shlex.quote(_scalar(value))}"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        try:
            plain = read_value(value) == value
        except SpecError:
            plain = False
        return value if plain else json.dumps(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
