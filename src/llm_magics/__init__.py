"""Run, load-test and compare LLM inference engines without leaving the notebook.

In a notebook: `%load_ext llm_magics`, then `%%serve`, `%%bench`, `%%compare` and `%llm`. From Python the same by
`llm_magics.serve`, `bench`, `compare`, `calibrate`, `deploy`, `servers`, `runs`, `fit`, `recommend`. Importing this
loads nothing heavy: each name is fetched when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from llm_magics.api import bench, calibrate, compare, deploy, fit, recommend, runs, serve, servers, stop

__version__ = "0.1.0"

__all__ = [
    "bench",
    "calibrate",
    "compare",
    "deploy",
    "fit",
    "load_ipython_extension",
    "recommend",
    "runs",
    "serve",
    "servers",
    "stop",
    "unload_ipython_extension",
]

_API = frozenset({"bench", "calibrate", "compare", "deploy", "fit", "recommend", "runs", "serve", "servers", "stop"})


def __getattr__(name: str) -> Any:
    if name in _API:
        from llm_magics import api

        return getattr(api, name)
    raise AttributeError(f"module 'llm_magics' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext llm_magics`: registers the magics and their completion."""
    from llm_magics.magics import register

    register(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """`%unload_ext llm_magics`: takes out what loading put in. Running servers go on; `%llm stop --all` ends them."""
    from llm_magics.magics import unregister

    unregister(shell)
