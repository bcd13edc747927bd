"""A search for the highest load, as a user writes it: which options it takes, and which it chooses itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_magics.spec.arrivals import Ramp
from llm_magics.spec.contradictions import all_at_once

if TYPE_CHECKING:
    from llm_magics.spec.workload import Workload


def check_search(work: Workload) -> None:
    """Refuse what a search has no use for, and its options where there is none.

    Raises
    ------
    ValueError
        Names the option.
    """
    if work.search is None:
        for option in ("goodput", "budget"):
            if option in work.model_fields_set:
                raise ValueError(f"{option} belongs to a search: add search: slo or search: saturation")
        return
    if work.search == "slo" and not work.slo.limits:
        raise ValueError("search: slo needs an slo, for example {ttft: 500ms, tpot: 50ms}")
    if work.search == "saturation" and work.given("goodput"):
        raise ValueError("goodput belongs to search: slo")
    if work.budget < 5:
        raise ValueError("budget is too short for a search: 5s is the least, 2m the usual")
    for option in ("requests", "conversations", "duration", "repeats"):
        if option in work.model_fields_set:
            raise ValueError(f"{option} is chosen by the search: give budget, how long all of it may take")
    own = any(point.arrival == "trace" for point in work.points)
    if work.arrival in ("synchronous", "throughput") or all_at_once(work) or work.stages is not None or own:
        raise ValueError("search tries loads of its own: give a rate, concurrency, or none of them")
    for option, values in (("rate", work.rate), ("concurrency", work.concurrency)):
        if values and (
            len(values) > 2 or any(isinstance(value, Ramp) for value in values) or sorted(values) != list(values)
        ):
            raise ValueError(f"{option} of a search is where to begin, or [lowest, highest]")
