"""The registry as Prometheus' service discovery: which servers are scraped, under which labels, with whose key.

A label holds the server's name, its engine and its model's name; no key, no path of this machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llm_magics.engines.base import Engine
from llm_magics.runtime.record import Record


@dataclass(frozen=True)
class Targets:
    """What is scraped.

    Attributes
    ----------
    keyless
        Targets of servers that have no key, as `file_sd` takes them.
    keyed
        Those of servers with one, by the server's name.
    left_out
        Name of each running server that is not scraped -> why.
    """

    keyless: list[dict[str, Any]] = field(default_factory=list)
    keyed: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def files(self) -> dict[str, str]:
        """The `file_sd` files: name -> text."""
        found = {"engines.json": json.dumps(self.keyless, indent=1)}
        return found | {f"server-{name}.json": json.dumps([each], indent=1) for name, each in self.keyed.items()}


def labels(record: Record) -> dict[str, str]:
    """The labels of a server."""
    model = record.served_model or record.model
    return {
        "server": record.name,
        "engine": record.engine,
        "model": Path(model).name if model.startswith(("/", "~")) else model,
    }


def targets(
    records: Iterable[Record], adapter: Callable[[str], Engine | None], has_key: Callable[[str], bool]
) -> Targets:
    """The servers that run, as targets.

    Parameters
    ----------
    adapter
        The engine of a key; None where it is not known here.
    has_key
        Whether a server of this name has an API key.
    """
    found = Targets()
    for record in records:
        if record.state != "ready" or not record.url:
            continue
        engine = adapter(record.engine)
        if engine is None or engine.metrics is None:
            title = engine.title if engine else record.engine
            found.left_out[record.name] = f"{title} exports no Prometheus metrics; whether it is up is watched"
            continue
        where = urlsplit(record.url)
        host = f"[{where.hostname}]" if ":" in (where.hostname or "") else where.hostname
        target = {
            "targets": [f"{host}:{(where.port or 80) + engine.metrics.beside}"],
            # The job's own name would be the file's: all servers are one job, whoever needs a key for it.
            "labels": {**labels(record), "job": "engines", "__metrics_path__": engine.metrics.path},
        }
        if has_key(record.name):
            found.keyed[record.name] = target
        else:
            found.keyless.append(target)
    return found


def keys(found: Targets, path: Callable[[str], Path]) -> Mapping[str, Path]:
    """The file of each server's key; `path` says it for a name."""
    return {name: path(name) for name in found.keyed}
