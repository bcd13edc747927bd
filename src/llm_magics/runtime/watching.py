"""Looking at the registry again and again, at the price of one question to the file system.

Every writer gives a record its name in one step (`private_files.write_whole`), which changes the time of the directory:
while that stands still, no record was written, made or removed, and the files are not even listed. A file that did not
change is not read twice, and a record that claims to run costs one look at its supervisor's identity. What
`Registry.list` says and what this says is the same; what was changed in place, by hand, is seen `_SURE` seconds later.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from llm_magics.runtime.identity import Identity
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry

_Stamp = tuple[int, int, int]
_SURE = 2.0  # s after which the files are listed whatever the directory's time says
_GRAIN = 0.1  # s within which two changes may leave the same time, the coarsest clock of a file system that is in use


class Watch:
    """One pair of eyes on a registry; not for several threads at once."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[str, tuple[_Stamp, Record | None]] = {}
        self._found: list[Record] = []
        self._stamp: _Stamp | None = None  # of the directory, first seen at `_since`
        self._since = 0.0
        self._listed = 0.0  # when the files were, s of the monotonic clock; as `_since`

    def look(self) -> list[Record]:
        """All records as they are now, oldest server first; those that did not change are the same objects.

        Raises
        ------
        OSError
            When the directory cannot be listed.
        """
        now = time.monotonic()
        if not self._stands_still(now):
            self._found = self._all()
            self._listed = now
        return list(self._found)

    def _stands_still(self, now: float) -> bool:
        stamp = _stamp(self._registry.directory.stat())
        if stamp != self._stamp:
            self._stamp, self._since = stamp, now
        settled = self._since + _GRAIN <= self._listed  # when they were listed, a later change had another time already
        return settled and now - self._listed < _SURE and all(map(_as_judged, self._found))

    def _all(self) -> list[Record]:
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
        if record is None or (_as_judged(record) and record.state != "elsewhere"):
            return record
        return self._registry.get(name)  # its supervisor is gone or out of sight: judged, and swept, in one place


def _stamp(stat: os.stat_result) -> _Stamp:
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _stamps(directory: Path) -> dict[str, _Stamp]:
    stamps = {}
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(".json"):
                try:
                    stamps[entry.name.removesuffix(".json")] = _stamp(entry.stat())
                except OSError:
                    continue
    return stamps


def _as_judged(record: Record) -> bool:
    """Whether its state is still what it was found to be: while it runs, its supervisor has to."""
    if not record.alive:
        return True
    try:
        return Identity.from_json(record.supervisor).alive()
    except ValueError:
        return False
