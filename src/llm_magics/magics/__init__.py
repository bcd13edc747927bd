"""Cell and line magics: read the cell, call the api, show the result. No logic of their own.

Registering is all that `%load_ext` does, so this module imports IPython's magic machinery and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_NAMES = ("serve", "bench", "compare", "llm")


def register(shell: InteractiveShell) -> None:
    """Puts the magics and their completion into a shell; harmless when they are there already."""
    from llm_magics.magics.completion import complete
    from llm_magics.magics.llm import LLMMagics

    magics = LLMMagics(shell)
    shell.register_magics(magics)
    shell.events.register("post_run_cell", magics.end_of_cell)
    completer = shell.Completer
    if completer is not None and complete not in completer.custom_matchers:
        completer.custom_matchers.append(complete)


def unregister(shell: InteractiveShell) -> None:
    """Takes out exactly what `register` put in."""
    from llm_magics.magics.completion import complete
    from llm_magics.magics.llm import LLMMagics

    for kind in shell.magics_manager.magics.values():
        for name in _NAMES:
            owner = getattr(kind.get(name), "__self__", None)
            if isinstance(owner, LLMMagics):
                del kind[name]
                if owner.end_of_cell in shell.events.callbacks["post_run_cell"]:
                    shell.events.unregister("post_run_cell", owner.end_of_cell)
    completer = shell.Completer
    if completer is not None and complete in completer.custom_matchers:
        completer.custom_matchers.remove(complete)
