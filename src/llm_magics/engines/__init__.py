"""Which engines there are: ours, and any that another package announces by the entry point `llm_magics.engines`.

Importing this loads no adapter. Ours are known by name too, so that a source tree without installed metadata works
and the common case costs no scan of every installed distribution.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.engines.base import Engine

__all__ = ["get", "load", "names", "reference"]

GROUP = "llm_magics.engines"
BUILT_IN = {
    "llamacpp": "llm_magics.engines.llamacpp:engine",
    "vllm": "llm_magics.engines.vllm:engine",
    "transformers": "llm_magics.engines.transformers:engine",
    "tgi": "llm_magics.engines.tgi:engine",
    "tensorrt_llm": "llm_magics.engines.tensorrt_llm:engine",
    "ollama": "llm_magics.engines.ollama:engine",
    "sglang": "llm_magics.engines.sglang:engine",
    "deepspeed": "llm_magics.engines.deepspeed:engine",
    "triton": "llm_magics.engines.triton:engine",
}


def names() -> list[str]:
    """Keys of every engine, ours first, then those of other packages by name."""
    return list(_references())


def reference(key: str) -> str:
    """`module:attribute` of an engine's adapter: what a process that must stay small needs to load it by `load`.

    Raises
    ------
    SpecError
        When there is no such engine.
    """
    if key in BUILT_IN:
        return BUILT_IN[key]
    known = _references()
    if key not in known:
        close = get_close_matches(key.lower(), known, n=1, cutoff=0.5)
        raise SpecError(
            f"There is no engine {key!r}{f': did you mean {close[0]!r}?' if close else '.'}",
            why=f"engines: {', '.join(known)}",
            then="`%llm engines` shows them and what is installed",
        )
    return known[key]


def get(key: str) -> Engine:
    """The adapter of an engine.

    Raises
    ------
    SpecError
        When there is no such engine, or another package announces it and it cannot be loaded.
    """
    return load(reference(key))


@cache
def load(reference: str) -> Engine:
    """The adapter at `module:attribute`."""
    from llm_magics.engines.base import Engine

    module, _, attribute = reference.partition(":")
    try:
        engine = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SpecError(
            f"The engine at {reference} cannot be loaded.", why=str(error), then="update or remove its package"
        ) from error
    if not isinstance(engine, Engine):
        raise SpecError(f"{reference} is no engine but {type(engine).__name__}.", then="update or remove its package")
    return engine


def _references() -> dict[str, str]:
    from importlib.metadata import entry_points

    others = {entry.name: entry.value for entry in entry_points(group=GROUP) if entry.name not in BUILT_IN}
    return {**BUILT_IN, **dict(sorted(others.items()))}
