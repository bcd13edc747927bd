"""What a killed supervisor leaves behind, and its end.

The engine's own process dies with its supervisor on Linux (a parent-death signal). Its workers may not: they are found
by the identities in the record and by the mark in their environment, never by a name or a bare pid. Its files follow
when nothing runs any more (see `scratch`).
"""

from __future__ import annotations

import os

from llm_magics.runtime import containers, processes, scratch
from llm_magics.runtime.identity import Identity, boot_id
from llm_magics.runtime.record import Record

_searched: set[str] = set()  # ids of lost servers whose mark was looked for; reading all environments is slow


def named(record: Record) -> list[Identity]:
    """Processes that the record names and that still run, on this very boot of this machine."""
    process = record.process or {}
    tree = process.get("tree")
    found = []
    for data in [process, *(tree if isinstance(tree, list) else [])]:
        try:
            identity = Identity.from_json(data)
        except (ValueError, AttributeError):
            continue
        if identity.alive():
            found.append(identity)
    return found


def sweep(record: Record, *, thorough: bool = False) -> list[Identity]:
    """End every process of a server that has no supervisor any more.

    Parameters
    ----------
    thorough
        Look for the mark again even if this process did so before.

    Returns
    -------
    list of Identity
        What could not be ended.
    """
    try:
        supervisor = Identity.from_json(record.supervisor)
    except ValueError:
        return []
    if not supervisor.here:
        if record.host == os.uname().nodename and supervisor.boot_id != boot_id():
            scratch.clear(record)  # the machine was started anew: no process is left, files on its disks are
        return []
    search = bool(record.id) and (thorough or record.id not in _searched)
    left = processes.end(lambda: [*named(record), *(processes.marked(record.id) if search else ())])
    if search:
        containers.remove(record.container)
    if not left:
        if search:
            scratch.clear(record)
        _searched.add(record.id)
    return left
