"""How much disk an engine takes here: a part of what it costs to set one up.

Of an environment made for it, all of it; in the kernel's own Python, the engine's distributions alone. The answer is
kept, because counting 60,000 files takes a second.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

from llm_magics.engines import environments, memory

if TYPE_CHECKING:
    from llm_magics.engines.base import Engine, Executable


def installed_size(engine: Engine, executable: Executable) -> int | None:
    """Bytes of an engine that was found here; None where it cannot be told apart from other programs."""
    if executable.binary:
        return Path(executable.binary).stat().st_size
    if executable.python == sys.executable:
        return sum(_of_distribution(name) for name in engine.install.distributions) or None
    environment = Path(executable.python or "").parent.parent
    if environment != environments.folder() / engine.key:
        return None
    stamp = [folder.stat().st_mtime for folder in sorted(environment.glob("lib*/python3*/site-packages"))]
    answer = memory.kept(f"size {environment}", stamp, lambda: {"size": _of_folder(environment)})
    return int(answer["size"]) if answer and isinstance(answer.get("size"), int) else None


def _of_folder(folder: Path) -> int:
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_size  # noqa: PTH118 - a Path object each would double it
            except OSError:
                continue
    return total


def _of_distribution(name: str) -> int:
    try:
        files = distribution(name).files or ()
    except PackageNotFoundError:
        return 0
    return sum(file.size or 0 for file in files)
