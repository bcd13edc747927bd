"""A short run at one load, as the probe that a search decides by; and all of a search's runs as one.

Judged are the requests that met the load asked for (`timeline.under_load`), not those that came to an idle server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from llm_magics.results import statistics, timeline
from llm_magics.results.columns import OK, TIMES, Columns
from llm_magics.results.probe import Probe
from llm_magics.results.run import Run
from llm_magics.results.summary import counted, met


def probe_of(run: Run, load: float, *, seconds: float, overloaded: str = "") -> Probe:
    """What a run of one point says about its load.

    Parameters
    ----------
    load
        Requests/s or streams, as the run's point has it.
    seconds
        How long it took.
    overloaded
        Why it was stopped before its end.
    """
    columns = run.at(0)
    streams = run.asked[0].get("concurrency")
    judged = counted(columns, interrupted=run.partial and not overloaded)  # what was given up on has missed its SLO
    kept = columns.take(timeline.under_load(columns, streams) & judged) if len(columns) else columns
    kept = kept.take(np.argsort(kept.intended, kind="stable"))
    answered = kept.status == OK
    good = met(kept, run.slo) if run.slo else np.zeros(len(kept), dtype=np.bool_)
    alike = statistics.dependence([good.astype(np.float64)]) if good.any() and not good.all() else None
    throughput, tokens = _throughput(run)
    return Probe(
        load, len(kept), int(good.sum()),
        throughput=throughput, tokens=tokens,
        latency=float(np.nanmean(kept.e2e[answered])) if answered.any() else None,
        growth=0.0 if streams is not None else _growth(columns),
        seconds=seconds, tau=alike.tau if alike else 1.0, overloaded=overloaded,
        unanswered=int((columns.status[judged] != OK).sum()), cut=run.partial and not overloaded,
    )  # fmt: skip


def joined(runs: Sequence[tuple[float, float, Run]], header: Mapping[str, Any], status: str) -> Run:
    """One run whose points are the loads in ascending order; a load that was measured twice has two repetitions.

    Parameters
    ----------
    runs
        Load, moment at which it began (s since the search did), and what was measured, in the order of time.
    header
        The run's header; `points` are added.
    status
        How the search ended.
    """
    order = sorted({load for load, _, _ in runs})
    parts, windows, audits, samples, asked = [], [], [], [], {}
    times: dict[float, int] = {}
    for load, began, run in runs:
        point, repeat = order.index(load), times.get(load, 0)
        times[load] = repeat + 1
        asked[load] = run.asked[0]
        columns = run.columns
        parts.append(
            replace(
                columns,
                point=np.full(len(columns), point, dtype=np.int64),
                repeat=np.full(len(columns), repeat, dtype=np.int64),
                **{name: getattr(columns, name) + began for name in TIMES},
            )
        )
        windows += [
            replace(each, point=point, repeat=repeat, start=each.start + began, end=each.end + began)
            for each in run.windows
        ]
        audits += [replace(each, point=point, repeat=repeat) for each in run.audits]
        samples += [replace(each, t=each.t + began) for each in run.server_samples]
    notes = dict.fromkeys(note for _, _, run in runs for note in run.notes)
    return Run(
        {**header, "points": [asked[load] for load in order]},
        Columns.concatenated(parts),
        windows=windows,
        audits=audits,
        samples=samples,
        status=status,
        notes=list(notes),
    )


def _throughput(run: Run) -> tuple[float, float]:
    """Requests and tokens a second; of a closed loop while it was full: ramp and drain are much of a short probe."""
    summary = run.points[0] if run.points else {}
    requests, tokens = (float(summary.get(f"{key}_throughput") or 0.0) for key in ("request", "output"))
    steady = summary.get("steady_output_throughput")
    if summary.get("max_concurrency") is None or not steady or not tokens:
        return requests, tokens
    return requests * steady / tokens, float(steady)


def _growth(columns: Columns) -> float:
    """How the requests in flight grew while a rate was sent: mean of the second half less that of the first."""
    if len(columns) < 2:
        return 0.0
    start, end = float(columns.intended.min()), float(columns.intended.max())
    middle = (start + end) / 2
    return timeline.mean_in_flight(columns, middle, end) - timeline.mean_in_flight(columns, start, middle)
