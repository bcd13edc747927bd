"""Looking at the registry again and again, at the price of a directory listing.

A file that did not change is not read twice, and a record that claims to run costs one look at its supervisor's
identity. What `Registry.list` says and what this says is the same.
"""

from __future__ import annotations

import os
from pathlib import Path

from llm_magics.runtime.identity import Identity
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry

_Stamp = tuple[int, int, int]


class Watch:
    """One pair of eyes on a registry; not for several threads at once."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[str, tuple[_Stamp, Record | None]] = {}

    def look(self) -> list[Record]:
        """All records as they are now, oldest server first.

        Raises
        ------
        OSError
            When the directory cannot be listed.
        """
        stamps = _stamps(self._registry.directory)
        for name in self._known.keys() - stamps.keys():
            del self._known[name]
        found = []
        for name, stamp in stamps.items():
            record = self._record(name, stamp)
            self._known[name] = stamp, record
            if record is not None:
                found.append(record)
        return sorted(found, key=lambda record: (record.created, record.name))

    def _record(self, name: str, stamp: _Stamp) -> Record | None:
        before, record = self._known.get(name, (None, None))
        if before != stamp:
            record = self._registry.read(name)
        if record is None or not record.alive or _supervised(record):
            return record
        return self._registry.get(name)  # its supervisor is gone: judged, and swept, in the one place that does so


def _stamps(directory: Path) -> dict[str, _Stamp]:
    stamps = {}
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(".json"):
                try:
                    stat = entry.stat()
                except OSError:
                    continue
                stamps[entry.name.removesuffix(".json")] = stat.st_mtime_ns, stat.st_size, stat.st_ino
    return stamps


def _supervised(record: Record) -> bool:
    try:
        return Identity.from_json(record.supervisor).alive()
    except ValueError:
        return False
