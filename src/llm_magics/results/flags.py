"""What a reader must know before believing a run: each rule one sentence, in words, with its figures.

A run that deserves none of them has an empty list. The thresholds are those of docs/measuring.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_magics.results import prompt_flags, server_side, timeline
from llm_magics.results.columns import OK, Columns

if TYPE_CHECKING:
    from llm_magics.results.records import Audit
    from llm_magics.results.run import Run

CORE = 0.70  # share of one core above which the client may blur what it measures
LOOP_LAG = 1e-3  # s, p99
LOAD = 0.98  # share of the asked load that must have been sent or held
TURN = 3e-3  # s between a stream's requests that no client does without
CLOCK = 20e-3  # s that a node's records may be off on the run's clock
FAULTS = 10.0  # pages a second that the engine waited for
SWAPPED = 2**24  # bytes, of the engine or moved by the machine, below which swapping is an old page and no bother
COMPANY = 0.10  # share by which the tokens that the server counts may exceed those of the run
OTHERS = 0.10  # share of the machine's cores that others may use
LOOKED = 2.0  # s of measuring below which the looks, half a second apart, say little of what lies between them
STOLEN = 0.02  # share of the machine's cores that a hypervisor may keep


def flags(run: Run) -> list[str]:
    """The flags of a run, most serious first."""
    found: list[str] = []
    gone = run.header.get("server_ended")
    if gone:
        found.append(f"the server ended during the run: {gone}")
    if run.partial:
        ended = "was cancelled" if run.status == "cancelled" else "did not reach its end"
        found.append(f"partial: the run {ended}; what was measured until then is shown")
    if run.header.get("through") == "port-forward":
        found.append("measured through a port-forward to one pod: every latency holds the way through the API server")
    for summary in run.points:
        found += [
            f"at {summary.get('label') or 'the only point'}: {each}"
            for each in _of_summary(summary, partial=run.partial)
        ]
        if run.given is None:
            found += [f"at {summary['label']}: {each}" for each in _of_requests(run, summary["point"], summary)]
    found += _clocks(run)
    found += disturbed(run)
    if run.given is None and not len(run.measured):
        found.append("nothing was measured")
    prompts = run.header.get("prompts")
    if isinstance(prompts, dict) and prompts.get("note"):
        found.append(str(prompts["note"]))
    found += prompt_flags.rows_again(run)
    return found


def _clocks(run: Run) -> Iterator[str]:
    """Nodes whose records may stand too far off on the run's clock; latencies are of one clock each, and are right."""
    for node in run.header.get("nodes") or ():
        if node["error"] > CLOCK:
            yield (
                f"the clock of the node {node['node']} is known to {node['error'] * 1e3:.0f} ms only: "
                "its requests may stand that far off those of the others in time; latencies are not touched"
            )


def overloaded(run: Run) -> bool:
    """Whether the client itself was too busy at some point to be believed."""
    return any(audit.core > CORE or audit.loop_lag_p99 > LOOP_LAG for audit in run.audits)


def overload(audits: Iterable[Audit]) -> str:
    """By what the client was too busy, its worst figure of each kind; "" when it was not."""
    told = list(audits)
    core, lag = (max((getattr(each, key) for each in told), default=0.0) for key in ("core", "loop_lag_p99"))
    found = [f"{core * 100:.0f} % of a core"] * (core > CORE)
    return ", ".join([*found, *[f"its loop woke {lag * 1e3:.1f} ms late, p99"] * (lag > LOOP_LAG)])


def load_missed(run: Run) -> list[str]:
    """What of the asked load was not made, in words: the rate that was not sent, the streams that were not held."""
    if run.given is not None:
        return []
    return [
        f"at {summary['label']}: {each}"
        for summary in run.points
        for each in _load(run.at(summary["point"]), summary, steady=always_busy(run, summary["point"]))
    ]


def disturbed(run: Run) -> list[str]:
    """What went on beside the measurement on the server's machine, in words: paging, swapping, somebody else's load.

    Known only of servers whose processes could be seen meanwhile.
    """
    cores = run.header.get("cores")
    return list(_company(run)) + [
        f"at {summary.get('label') or 'the only point'}: {each}"
        for summary in run.points
        for each in (*_paging(summary), *_others(run, summary, cores if isinstance(cores, int) else None))
    ]


def _company(run: Run) -> Iterator[str]:
    """Requests of others, by the server's own count of tokens; of an answer that was cut off all of it is ours."""
    if (
        run.given is not None
        or (found := server_side.counted(run.server_samples, run.windows, "output_tokens")) is None
    ):
        return
    sent = run.measured
    tokens = np.where(sent.status == OK, sent.output_tokens, sent.asked_tokens)
    grown, doubt = found
    if len(tokens) and tokens.min() >= 0 and grown > (1 + COMPANY) * tokens.sum() + len(tokens) + doubt:
        yield (
            f"other requests reached this server meanwhile: it counts {grown:,.0f} output tokens, "
            f"those of this run had {tokens.sum():,}"
        )


def _paging(summary: Mapping[str, Any]) -> Iterator[str]:
    faults, duration = summary.get("server_major_faults"), summary.get("duration")
    if faults and duration and faults > FAULTS * duration:
        yield f"the engine waited for {faults:.0f} pages from the disk ({faults / duration:.0f} a second)"
    if (swapped := summary.get("max_server_swap") or 0) > SWAPPED:
        yield f"{swapped / 2**20:.0f} MiB of the engine were swapped out"
    if (moved := summary.get("machine_swap") or 0) > SWAPPED:
        yield f"the machine was swapping ({moved / 2**20:.0f} MiB in and out)"


def _others(run: Run, summary: Mapping[str, Any], cores: int | None) -> Iterator[str]:
    total, engine = summary.get("machine_cpu_cores"), summary.get("server_cpu_cores")
    if not cores or (summary.get("duration") or 0.0) < LOOKED:
        return
    # without the engine's own share nobody can say whose the rest is
    if total is not None and engine is not None:
        clients = [audit.core * audit.workers for audit in run.audits if audit.point == summary["point"]]
        others = total - engine - max(clients, default=0.0) - (summary.get("caller_cpu_cores") or 0.0)
        if others > OTHERS * cores:
            yield f"other processes used {others:.1f} of the {cores} cores"
    if (stolen := summary.get("machine_steal_cores") or 0.0) > STOLEN * cores:
        yield f"the hypervisor kept {stolen:.2f} of the {cores} cores for others"


def _of_summary(summary: Mapping[str, Any], *, partial: bool) -> Iterator[str]:
    ended = (summary.get("completed") or 0) + (summary.get("failed") or 0)
    if summary.get("failed"):
        words = summary.get("errors") or {}
        most = next(iter(words), "")
        why = f', most often "{most[:120]}"' if most else ""
        yield f"{summary['failed']} of {ended} requests failed{why}"
    if summary.get("cancelled") and not partial:
        yield (
            f"{summary['cancelled']} requests were still unanswered when the waiting ended after the last arrival "
            "(`drain`): the server does not carry this rate"
        )
    if (core := summary.get("client_core")) is not None and core > CORE:
        yield f"the load generator used {core * 100:.0f} % of a core: latencies may be its own"
    if (lag := summary.get("client_loop_lag_ms")) is not None and lag > LOOP_LAG * 1e3:
        yield f"the load generator woke {lag:.1f} ms late (p99): latencies may be its own"


def _of_requests(run: Run, point: int, summary: Mapping[str, Any]) -> Iterator[str]:
    columns = run.at(point)
    yield from _load(columns, summary, steady=always_busy(run, point))
    answered = columns.take(columns.status == OK)
    if not len(answered):
        return
    silent = int(np.sum(answered.output_tokens < 0))
    if silent:
        yield (
            f"the server gave no token counts for {silent} of {len(answered)} answers: "
            "their tokens are missing from every token figure"
        )
    yield from prompt_flags.lengths(run, answered)
    if wrong := int(np.sum(answered.valid == 0)):
        judged = int(np.sum(answered.valid >= 0))
        yield f"{wrong} of {judged} answers are not the JSON that the schema asks for"


def _load(columns: Columns, summary: Mapping[str, Any], *, steady: bool) -> Iterator[str]:
    streams = summary["max_concurrency"]
    if streams is not None and len(columns) < streams * summary["repeats"]:
        yield f"{len(columns)} request{'s' if len(columns) != 1 else ''} cannot fill {streams} streams"
    elif streams is not None and steady and _idle(columns, streams, summary["achieved_concurrency"]):
        held = summary["achieved_concurrency"]
        yield f"{held:.{2 if held < 10 else 1}f} streams were held of the {streams} asked for"
    asked, sent = summary["scheduled_rate"], summary["achieved_rate"]
    if asked and sent and sent < LOAD * asked:
        yield f"{sent:.2f} requests/s were sent of the {asked:.2f} the schedule asked for"


def always_busy(run: Run, point: int) -> bool:
    """Whether a closed loop's streams are meant to be always busy: no ramp, no stages, nobody who thinks."""
    asked = run.asked[point]
    return not asked.get("ramp") and asked.get("stage") is None and not any(run.workload.get("think") or ())


def _idle(columns: Columns, streams: int, held: float) -> bool:
    """Whether streams stood idle for longer than the turn from one request to the next takes, and 2 % of the time.

    Judged over the steady parts only: ramp and drain are nobody's fault.
    """
    time, sent = 0.0, 0
    for each in np.unique(columns.repeat):
        part = columns.take(columns.repeat == each)
        if full := timeline.steady(part, streams):
            time += full[1] - full[0]
            sent += int(np.sum((part.sent > full[0]) & (part.sent <= full[1])))
    if not sent:
        return False
    cycle = streams * time / sent  # s from one request of a stream to its next
    return (1 - held / streams) * cycle > TURN + (1 - LOAD) * cycle
