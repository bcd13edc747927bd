"""What to type next where a server ended while it was measured.

Said where the run is fresh, and only of a server that is known still: a run is stored and read much later, and one that
a comparison or a sweep started for itself is gone with its log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_magics.results.comparison import Comparison
    from llm_magics.results.run import Run
    from llm_magics.results.sweep import Sweep


def next_step(result: Run | Comparison | Sweep) -> str:
    """How a run's server is started again, and where its log is; "" where none ended, or it is no server here."""
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
