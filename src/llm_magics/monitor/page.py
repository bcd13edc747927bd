"""The monitor's own page for Prometheus: what the registry and the machine know, the same for every engine.

It is the honest minimum for engines that export nothing: whether the server is up, by the page that says whether it is
ready. A server that was stopped on purpose is not listed; one that failed, or was lost, is listed as down.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from llm_magics.monitor.targets import labels
from llm_magics.runtime.identity import Identity
from llm_magics.runtime.probe import Probe
from llm_magics.runtime.processes import resident
from llm_magics.runtime.record import Record

_PATIENCE = 2.0  # s that a server has to say that it is ready
_AT_ONCE = 8

METRICS: Mapping[str, tuple[str, str]] = {
    "llm_server_up": ("gauge", "1: its readiness page answers; 0: it does not, or the server failed or was lost"),
    "llm_server_asleep": ("gauge", "1: it has given its GPU memory back and waits to be woken"),
    "llm_server_recoveries_total": ("counter", "times it was started again after it had failed or was lost"),
    "llm_server_memory_bytes": ("gauge", "memory that its processes hold in RAM"),
    "llm_gpu_memory_used_bytes": ("gauge", "GPU memory in use"),
    "llm_gpu_memory_total_bytes": ("gauge", "GPU memory"),
    "llm_monitor_disk_free_bytes": ("gauge", "free space where the monitor keeps its data"),
}


@dataclass(frozen=True)
class Line:
    """One sample."""

    name: str
    labels: Mapping[str, str]
    value: float


class Page:
    """The page.

    Parameters
    ----------
    folder
        Where the monitor's data is.
    again
        Server -> its record as it is now. Who does not answer is looked up once more: records are read a moment before
        servers are asked, and one that was stopped in between is not down.
    """

    def __init__(self, folder: Path, again: Callable[[str], Record | None] | None = None) -> None:
        self._folder, self._again = folder, again
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="probe")

    def look(self, records: Sequence[Record], asked: Mapping[str, tuple[str, str | None]]) -> str:
        """The page of this moment.

        Parameters
        ----------
        records
            All that the registry has.
        asked
            Server -> the path of its readiness page and its key; one that is not in it is believed to be ready.
        """
        return text([*self._servers(records, asked), *_cards(records), *self._disk()])

    def _servers(self, records: Sequence[Record], asked: Mapping[str, tuple[str, str | None]]) -> Iterable[Line]:
        ready = [record for record in records if record.state == "ready" and record.url]
        answers = dict(
            zip((each.name for each in ready), self._pool.map(lambda each: _up(each, asked), ready), strict=True)
        )
        for record in (self._now(record) if answers.get(record.name) is False else record for record in records):
            if record is None:
                continue
            said = labels(record)
            yield Line("llm_server_recoveries_total", said, record.recoveries)
            if record.state in ("ready", "failed", "lost"):
                yield Line("llm_server_up", said, answers.get(record.name, False))
            if record.state == "ready":
                yield Line("llm_server_asleep", said, record.asleep)
                if memory := resident(_tree(record)):
                    yield Line("llm_server_memory_bytes", said, memory)

    def _now(self, record: Record) -> Record | None:
        return self._again(record.name) if self._again is not None else record

    def _disk(self) -> Iterable[Line]:
        try:
            yield Line("llm_monitor_disk_free_bytes", {}, shutil.disk_usage(self._folder).free)
        except OSError:
            return


def text(lines: Iterable[Line]) -> str:
    """Samples in Prometheus' text format 0.0.4."""
    grouped: dict[str, list[str]] = {}
    for line in lines:
        said = ",".join(f'{key}="{_escaped(value)}"' for key, value in line.labels.items())
        grouped.setdefault(line.name, []).append(f"{line.name}{{{said}}} {float(line.value):.17g}")
    return "".join(
        f"# HELP {name} {METRICS[name][1]}\n# TYPE {name} {METRICS[name][0]}\n" + "\n".join(grouped[name]) + "\n"
        for name in METRICS
        if name in grouped
    )


def _cards(records: Sequence[Record]) -> Iterable[Line]:
    """GPUs that a server of ours runs on, once for each server there."""
    if not any(record.alive and record.gpus for record in records):
        return
    from llm_magics.runtime.gpus import gpus

    cards = {card.index: card for card in gpus()}
    for record in records:
        for index in record.gpus if record.alive else ():
            if (card := cards.get(index)) is not None:
                said = {**labels(record), "gpu": str(index)}
                yield Line("llm_gpu_memory_used_bytes", said, card.memory_used)
                yield Line("llm_gpu_memory_total_bytes", said, card.memory_total)


def _up(record: Record, asked: Mapping[str, tuple[str, str | None]]) -> bool:
    if record.asleep or record.name not in asked:
        return True  # asleep it answers nothing, and that is as it should be
    path, key = asked[record.name]
    where = urlsplit(record.url)
    return Probe(where.hostname or "", where.port or 80, path, key).fetch(_PATIENCE) is not None


def _tree(record: Record) -> list[Identity]:
    found = []
    for data in (record.process or {}).get("tree") or ():
        try:
            found.append(Identity.from_json(data))
        except (ValueError, AttributeError):
            continue
    return found


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
