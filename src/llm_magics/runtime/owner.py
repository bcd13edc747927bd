"""Whose server it is: the kernel or script that runs this code, and how a kernel takes over from its forerunner.

A restarted kernel is another process with the same kernel id. Nothing here imports IPython or ipykernel: what they know
is taken from them only when they are loaded already.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from llm_magics.runtime import lifetime
from llm_magics.runtime.identity import Identity, current
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry

_CONNECTION = re.compile(r"kernel-(?P<id>[\w-]+)\.json$")


def current_owner() -> dict[str, Any]:
    """This process as an owner.

    Returns
    -------
    dict
        `pid`, `ticks`, `boot_id`, `pidns` (its identity), `kernel_id` and `notebook` (a path or name) where they are
        known, `cwd`.
    """
    owner = {**current().to_json(), "kernel_id": _kernel_id(), "notebook": _notebook(), "cwd": _folder()}
    return {key: value for key, value in owner.items() if value is not None}


def owned(record: Record, owner: Mapping[str, Any]) -> Record:
    """A record to which one more owner belongs; owners that ended are left out."""
    others = [other for other in record.owners if _alive(other) and not _same(other, owner)]
    found = replace(record, owners=[*others, dict(owner)])
    orphaned = record.stops_why in (lifetime.ORPHANED, lifetime.ORPHANED_OF_SHELL)
    kept = record.stops_why == lifetime.KEPT and record.idle is None  # and so for want of an owner alone
    if record.alive and record.state != "stopping" and (orphaned or kept):
        return replace(found, stops_at=None, stops_why="")  # announced while it was nobody's, and off as of now
    return found


def adopt(name: str, *, registry: Registry | None = None) -> Record:
    """Make a running server this kernel's own: it then lives on as long as this kernel does.

    Raises
    ------
    KeyError
        When there is no such server.
    """
    owner = current_owner()
    return (registry or Registry()).update(name, lambda record: owned(record, owner) if record.alive else record)


def only_mine(record: Record) -> bool:
    """Whether this process started a server, or its forerunner did (the kernel before a restart), and no other uses it.

    To own it is not enough: whoever measures a server that somebody else started becomes one of its owners.
    """
    me = current_owner()
    kernel = me.get("kernel_id")
    mine = _same(record.starter, me) or (kernel is not None and record.starter.get("kernel_id") == kernel)
    return mine and all(_same(owner, me) for owner in record.owners if _alive(owner))


def _alive(owner: Mapping[str, Any]) -> bool:
    try:
        return Identity.from_json(owner).alive()
    except ValueError:
        return False


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one.get(key) == other.get(key) for key in ("pid", "ticks", "boot_id", "pidns"))


def _kernel_id() -> str | None:
    kernelapp = sys.modules.get("ipykernel.kernelapp")
    if kernelapp is not None and kernelapp.IPKernelApp.initialized():
        path = str(kernelapp.IPKernelApp.instance().connection_file)
    else:
        path = next((value for flag, value in zip(sys.argv, sys.argv[1:], strict=False) if flag == "-f"), "")
    found = _CONNECTION.search(path)
    return found["id"] if found else None


def _folder() -> str | None:
    try:
        return str(Path.cwd())
    except FileNotFoundError:  # it was removed
        return None


def _notebook() -> str | None:
    # VS Code puts the path of the file into the user's namespace; Jupyter's servers name the session.
    path = vars(sys.modules["__main__"]).get("__vsc_ipynb_file__")
    return str(path) if path else os.environ.get("JPY_SESSION_NAME")
