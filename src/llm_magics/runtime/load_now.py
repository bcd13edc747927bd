"""What a running server does at this moment: requests, tokens so far, memory. One look, for whoever watches."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

from llm_magics.runtime import processes
from llm_magics.runtime.leftovers import named
from llm_magics.runtime.probe import Probe
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry

_PATIENCE = 1.0  # s for the engine's page of metrics
_WANTED = ("running", "waiting", "prompt_tokens", "output_tokens", "kv_usage")
_HERE = ("127.0.0.1", "::1", "localhost")


def load_now(record: Record, registry: Registry) -> dict[str, Any]:
    """One look at a server whose record was judged alive.

    Returns
    -------
    dict
        `at` (s, monotonic), `memory` (bytes that its processes hold in RAM), and what its engine exports of `running`,
        `waiting`, `prompt_tokens`, `output_tokens` (both since its start), `kv_usage` (0 to 1).
    """
    found: dict[str, Any] = {"memory": processes.resident(named(record)) or None}
    if record.state == "ready":
        found |= _exported(record, registry)
    return {"at": time.monotonic(), **found}


def _exported(record: Record, registry: Registry) -> dict[str, float]:
    from llm_magics import engines
    from llm_magics.engines import metrics
    from llm_magics.errors import SpecError

    try:
        page = engines.get(record.engine).metrics
        at = urlsplit(record.url)
        port = at.port
    except (SpecError, ValueError):  # a plugin of another environment's; a URL that is none
        return {}
    if page is None or at.hostname not in _HERE or port is None:
        return {}
    probe = Probe(at.hostname, port + page.beside, page.path, registry.key(record.name))
    said = metrics.said(probe.fetch(_PATIENCE) or "", page.names)
    return {name: said[name] for name in _WANTED if name in said}
