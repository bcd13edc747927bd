"""A package whose files are replaced while a process runs them: an upgrade under a notebook's kernel.

What such a process imports from then on, and every process that it starts, is the new code beside the old. Where the
two do not fit, any error may come of it, and none says why. Who meets one that nothing of his own explains asks here.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import llm_magics
from llm_magics.errors import LLMMagicsError

CAUSE = "llm-magics was replaced while this kernel was running"
REMEDY = "restart the kernel and run the cell again; servers that run go on"
_ROOT = Path(llm_magics.__file__).parent
_LOADED = time.time()


def since_loaded() -> str:
    """What has become of the package's files since this process loaded it, in words; "" where they are the same."""
    ours = llm_magics.__version__
    try:
        found = re.search(r'^__version__ = "(.+)"', (_ROOT / "__init__.py").read_text(), re.MULTILINE)
        changed = max(path.stat().st_mtime for path in _ROOT.rglob("*.py"))
    except (OSError, ValueError):
        return f"this kernel runs llm-magics {ours}, and it is not at {_ROOT} any more"
    if found is None or found[1] != ours:
        return f"this kernel runs llm-magics {ours}; {found[1] if found else 'another version'} is installed now"
    if changed <= _LOADED:
        return ""
    at, loaded = (time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment)) for moment in (changed, _LOADED))
    return f"this kernel loaded llm-magics {ours} at {loaded}; files of it were changed at {at}"


def explained(error: BaseException) -> LLMMagicsError | None:
    """The error to raise instead of one that is a bug of ours, if the package was replaced; None otherwise."""
    if isinstance(error, LLMMagicsError) or not isinstance(error, Exception):
        return None
    why = since_loaded()
    return LLMMagicsError(f"{CAUSE}.", why=f"{why}\n{type(error).__name__}: {error}", then=REMEDY) if why else None
