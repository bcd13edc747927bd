"""What a LoRA adapter's folder says of itself: its rank and the modules that it changes (PEFT's `adapter_config.json`).

Some engines must be told before they start; the folder knows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

CONFIG = "adapter_config.json"


@dataclass(frozen=True)
class Adapter:
    """An adapter's rank, the largest where its modules differ, and the names of the modules (`q_proj`)."""

    rank: int
    modules: frozenset[str]


def read(folder: str) -> Adapter | None:
    """The facts of an adapter; None where they cannot be read here: a hub id, a folder inside a container.

    Raises
    ------
    ValueError
        For a folder of this machine that holds no adapter of PEFT's.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        return None
    try:
        config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        ranks = [config["r"], *(config.get("rank_pattern") or {}).values()]
        named = config.get("target_modules") or ()
        return Adapter(max(map(int, ranks)), frozenset([named] if isinstance(named, str) else named))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder!r} is no adapter of PEFT's: {CONFIG} cannot be read ({error})") from None
