"""A server that ended while it was measured: how that is known, what its run is worth, and what to type next."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_magics.api.targets import Target
    from llm_magics.load.endpoint import Endpoint
    from llm_magics.results.comparison import Comparison
    from llm_magics.results.run import Run
    from llm_magics.results.sweep import Sweep

_LAST_WORD = 15.0  # s that a server which no longer listens has to say how it ended: its workers may linger


def judge(run: Run, target: Target, endpoint: Endpoint) -> None:
    """Write into a run why its server ended, where it did; the run is whole only if the last request had an answer.

    An interrupt while the server's word is waited for ends the waiting, and costs nothing that was measured.
    """
    try:
        why = _why(target, endpoint, run)
    except KeyboardInterrupt:
        run.status = "cancelled" if run.status == "complete" else run.status
        return
    if why:
        run.header["server_ended"] = why
        run.status = "complete" if run.status == "complete" and not _ends_unanswered(run) else "failed"


def next_step(result: Run | Comparison | Sweep) -> str:
    """How a run's server is started again, and where its log is; "" where none ended, or it is no server here.

    Said where the run is fresh, and only of a server that is known still: a run is stored and read much later, and one
    that a comparison or a sweep started for itself is gone with its log.
    """
    from llm_magics.results.run import Run
    from llm_magics.runtime.registry import Registry
    from llm_magics.runtime.server import again

    if not isinstance(result, Run) or not result.header.get("server_ended"):
        return ""
    try:
        record = Registry().get(result.name) if result.header.get("target") == result.name else None
    except OSError:
        record = None
    if record is None or record.alive or record.state == "elsewhere":
        return ""
    return again(record)


def _why(target: Target, endpoint: Endpoint, run: Run) -> str | None:
    """Why the server ended, where it did.

    Of a server that was killed, hundreds of requests are refused before its supervisor has cleared up and said how it
    ended: where the last ones had no answer and nobody listens any more, its word is waited for.
    """
    if target.ended is None:
        return None
    until = time.monotonic() + _LAST_WORD
    while not (why := target.ended()):
        if not _ends_unanswered(run) or time.monotonic() > until or _listens(endpoint):
            return None
        time.sleep(0.05)
    return why


def _ends_unanswered(run: Run) -> bool:
    """Whether the request that ended last had no answer, not even a refusal."""
    import numpy as np

    from llm_magics.results.columns import CANCELLED, ERROR

    requests = run.columns.take(run.columns.status != CANCELLED)
    if not len(requests):
        return False
    last = int(np.argmax(np.nan_to_num(requests.done, nan=-1.0)))
    return bool(requests.status[last] == ERROR and requests.http_status[last] < 400)


def _listens(endpoint: Endpoint) -> bool:
    where = endpoint.address
    try:
        with socket.create_connection((where.host, where.port), timeout=1.0):
            return True
    except OSError:
        return False
