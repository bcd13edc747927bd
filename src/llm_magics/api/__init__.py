"""One door for the magics, the terminal and scripts: serve, bench, compare, servers, runs, fit, recommend.

What must follow what (check, then launch; run, then store, then show) is said here, in one readable function each.
Each is loaded when it is first used: a terminal that stops a server waits for no load generator.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_magics.api.benching import bench
    from llm_magics.api.calibrating import calibrate
    from llm_magics.api.comparing import compare
    from llm_magics.api.deploying import deploy
    from llm_magics.api.fitting import fit
    from llm_magics.api.recommending import recommend
    from llm_magics.api.serving import serve, servers, stop
    from llm_magics.api.stored_runs import runs

__all__ = ["bench", "calibrate", "compare", "deploy", "fit", "recommend", "runs", "serve", "servers", "stop"]

_PLACES = {
    "benching": ("bench",),
    "calibrating": ("calibrate",),
    "comparing": ("compare",),
    "deploying": ("deploy",),
    "fitting": ("fit",),
    "recommending": ("recommend",),
    "serving": ("serve", "servers", "stop"),
    "stored_runs": ("runs",),
}
_PLACE = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _PLACE:
        return getattr(import_module(f"llm_magics.api.{_PLACE[name]}"), name)
    raise AttributeError(f"module 'llm_magics.api' has no attribute {name!r}")
