"""Times, token counts and names as people write them: `500ms`, `30s`, `8k`, `32K`.

Each type here is a pydantic annotation: strict about what it takes, so that YAML's guesses (`12:30`, `1e3`, `no`)
end in an error or in the number that was meant, never in another number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from keyword import iskeyword
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

_UNITS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(us|µs|ms|s|min|m|h|d)?\s*$")
_BARE = 10  # a limit in seconds that nobody types without its unit
_TOKENS = re.compile(r"^\s*(\d+)\s*(k|K|Ki)?\s*$")
_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]{0,39}$")


def seconds(value: Any) -> float:
    """Seconds of a duration: a number of seconds, or text such as `500ms`, `30s`, `2m`, `1h`.

    Raises
    ------
    ValueError
        For anything else: booleans, `12:30`, negative or infinite times.
    """
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is not a time; write 500ms, 30s or 2m")
    if isinstance(value, (int, float)):
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"{value!r} is not a time; write 500ms, 30s or 2m")
        return float(value)
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not a time; write 500ms, 30s or 2m")
    return float(match[1]) * _UNITS[match[2] or "s"]


def in_words(duration: float) -> str:
    """A duration in s as `seconds` reads it, in the largest unit that it fills: `15d`, `90s`, `1.5s`, `500ms`, `0s`."""
    for unit in ("d", "h", "m"):
        if duration and duration % _UNITS[unit] == 0:
            return f"{duration / _UNITS[unit]:.0f}{unit}"
    return f"{duration * 1000:g}ms" if 0 < duration < 1 else f"{duration:g}s"


def limit(value: Any) -> float:
    """Seconds of a latency's limit: as `seconds`, but a bare 250 is not guessed at, for milliseconds were meant.

    Floats are taken as the seconds they are: a stored workload holds its limits so.

    Raises
    ------
    ValueError
        As `seconds`, and for a whole number from 10 without its unit.
    """
    bare = isinstance(value, int) or (isinstance(value, str) and re.fullmatch(r"\s*\d+\s*", value))
    found = seconds(value)
    if bare and found >= _BARE:
        raise ValueError(f"in what? write {int(value)}ms or {int(value)}s")
    return found


def written(limits: Mapping[str, float]) -> str:
    """Limits (s) as they are typed: `{ttft: 250ms, e2e: 10s}`."""
    return "{" + ", ".join(f"{key}: {in_words(value)}" for key, value in limits.items()) + "}"


def tokens(value: Any) -> int:
    """A number of tokens: `8192`, or vLLM's shorthands `8k` (8000) and `8K` or `8Ki` (8192)."""
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is not a number of tokens; write 8192 or 8K")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        return value
    match = _TOKENS.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not a number of tokens; write 8192 or 8K")
    return int(match[1]) * {None: 1, "k": 1000, "K": 1024, "Ki": 1024}[match[2]]


def whole(value: Any) -> Any:
    """Lets `1e3` through as 1000; leaves every other value to the strict check that follows."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def flag(value: Any) -> Any:
    """`yes`, `no`, `on`, `off` as people write them; YAML 1.2 keeps them text."""
    words = {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False}
    return words.get(value.lower(), value) if isinstance(value, str) else value


def text(value: Any) -> Any:
    """Text that YAML read as a number or a boolean is refused: quoting it is the user's choice to make."""
    if isinstance(value, (bool, int, float)):
        raise ValueError(f"is read as {type(value).__name__} {value!r}; put it in quotes if text is meant")
    return value


def variable(value: Any) -> Any:
    """The value of an environment variable: numbers are the text they look like, booleans have no one spelling."""
    if isinstance(value, bool):
        raise ValueError(f"is read as bool {value!r}; put what the variable should hold in quotes")
    if isinstance(value, str) and "\0" in value:
        raise ValueError("holds a NUL character")
    return str(value) if isinstance(value, (int, float)) else value


def variable_name(value: str) -> str:
    """The name of an environment variable, as any system takes it."""
    if not value or "=" in value or "\0" in value:
        raise ValueError(f"{value!r} is not the name of a variable")
    return value


def is_name(value: str) -> bool:
    """Whether a server can be called so."""
    return bool(_NAME.match(value)) and not iskeyword(value)


def server_name(value: str) -> str:
    """A server's name is bound in the notebook, so it is a Python name of at most 40 letters."""
    if not _NAME.match(value):
        raise ValueError(f"{value!r} is not a name: at most 40 letters, digits and _, not starting with a digit")
    if iskeyword(value):
        raise ValueError(f"{value!r} is not a name that a notebook can bind: it is a word of Python")
    return value


def collector(value: str) -> str:
    """The address of a collector of traces; no password, for it would stand on command lines."""
    found = urlsplit(value)
    if found.scheme not in ("http", "https", "grpc") or not found.hostname:
        raise ValueError(f"{value!r} is not the address of a collector; write http://HOST:4317")
    if found.username or found.password:
        raise ValueError("holds a password; give it to the engine by env: OTEL_EXPORTER_OTLP_HEADERS")
    return value


def cluster(value: str) -> str:
    """A Ray cluster: `ray`, or `ray://HOST:PORT`."""
    found = re.fullmatch(r"ray(?:://(?:[\w.-]+|\[[0-9a-fA-F:]+\])(?::(\d{1,5}))?)?", value)
    if found is None or not 0 < int(found[1] or 1) < 65536:
        raise ValueError(f"{value!r} is no Ray cluster: write ray, or ray://HOST:PORT")
    return value


def price(value: Any) -> Any:
    """A price in dollars an hour: a number, or who costs it."""
    if value is None:
        return None
    for name, each in value.items() if isinstance(value, dict) else (("", value),):
        if name not in ("", "gpu", "server") or isinstance(each, bool) or not isinstance(each, (int, float)):
            raise ValueError("takes dollars an hour: 2.5, {gpu: 2.5} or {server: 1.2}")
        if not 0 < each < math.inf:
            raise ValueError("is more than nothing, in dollars an hour")
    if isinstance(value, dict) and len(value) != 1:
        raise ValueError("is that of a gpu or that of the server, not both")
    return {name: float(each) for name, each in value.items()} if isinstance(value, dict) else float(value)


Seconds = Annotated[float, BeforeValidator(seconds)]
Limit = Annotated[float, BeforeValidator(limit)]
Tokens = Annotated[int, BeforeValidator(tokens), Field(gt=0)]
Count = Annotated[int, BeforeValidator(whole), Field(gt=0)]
Whole = Annotated[int, BeforeValidator(whole)]
Flag = Annotated[bool, BeforeValidator(flag)]
Text = Annotated[str, BeforeValidator(text)]
Variable = Annotated[str, BeforeValidator(variable)]
VariableName = Annotated[str, AfterValidator(variable_name)]
Name = Annotated[str, AfterValidator(server_name)]
Collector = Annotated[str, AfterValidator(collector)]
Cluster = Annotated[str, AfterValidator(cluster)]
Price = Annotated[float | dict[str, float] | None, BeforeValidator(price)]
