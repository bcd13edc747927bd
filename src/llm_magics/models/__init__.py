"""Where the model that ships with the package lies, so that `model: tiny` needs no download and no hub."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

__all__ = ["TINY", "Format", "is_shipped", "names", "path"]

TINY = "tiny"
Format = Literal["gguf", "safetensors"]

_FOLDER = Path(__file__).parent
_PLACES = {(TINY, "gguf"): "tiny/tiny-q8_0.gguf", (TINY, "safetensors"): "tiny"}


def names() -> list[str]:
    """The models of the package itself."""
    return sorted({shipped for shipped, _ in _PLACES})


def is_shipped(name: str) -> bool:
    """Whether `name` is a model of the package itself, to be looked for here and nowhere else."""
    return name in names()


def path(name: str, format: Format) -> Path:  # noqa: A002
    """The GGUF file of a shipped model, or for `safetensors` the folder with its configuration and tokenizer.

    Raises
    ------
    ValueError
        When no such model ships, or not in that format; the message says what does.
    """
    if not is_shipped(name):
        raise ValueError(f"no model called {name!r} ships with llm-magics; there is: {', '.join(names())}")
    if (name, format) not in _PLACES:
        formats = ", ".join(sorted(known for shipped, known in _PLACES if shipped == name))
        raise ValueError(f"model {name!r} does not ship as {format!r}; its formats are: {formats}")
    return _FOLDER / _PLACES[name, format]
