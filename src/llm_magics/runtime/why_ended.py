"""Why an engine ended: its own words where the adapter knows them, else what its exit status means."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import asdict

from llm_magics.engines.base import Engine

_REMEDIES = {
    signal.SIGKILL: "unless somebody killed it, the machine ran out of memory: take a smaller model or max_model_len",
    signal.SIGILL: "this build of the engine needs a newer CPU: install another build",
}


def why_ended(engine: Engine, log: Sequence[str], exit_status: int | None) -> dict[str, str] | None:
    """`cause`, `line` and `remedy` of a failure, or None where nothing is known.

    Parameters
    ----------
    log
        The last lines, oldest first.
    exit_status
        Negative for the signal that ended it.
    """
    found = engine.diagnose(log)
    if found is not None:
        return asdict(found)
    if exit_status is None or exit_status >= 0:
        return None
    signum = signal.Signals(-exit_status)
    cause = f"the engine was ended by {signum.name}"
    return {"cause": cause, "line": "", "remedy": _REMEDIES.get(signum, "see its log")}
