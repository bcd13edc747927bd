"""What the load generator says about itself, in one line under every run: whether the figures can be the server's own.

Red (`worse`; in text a `!`) is what lies beyond the thresholds of `results.flags`, whose sentences follow it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_magics.results import flags
from llm_magics.views import format as fmt
from llm_magics.views.markup import Markup, tag

if TYPE_CHECKING:
    from llm_magics.results.run import Run


def parts(run: Run) -> list[tuple[str, bool]]:
    """Each figure in words, the worst of all points, and whether it is too bad; none for runs of other tools."""
    audits = run.audits
    if not audits:
        return []
    core = max(audit.core for audit in audits)
    lag = max(audit.loop_lag_p99 for audit in audits)
    sent = max(audit.send_lag_p99 for audit in audits)
    reads = sum(audit.chunks_per_read for audit in audits) / len(audits)
    workers = max(audit.workers for audit in audits)
    load = _load(run)
    found = [
        (
            f"{fmt.percent(core)} of a core" + (f" (busiest of {workers} workers)" if workers > 1 else ""),
            core > flags.CORE,
        ),
        (f"loop woke {fmt.milliseconds(lag * 1e3)} late (p99)", lag > flags.LOOP_LAG),
        (f"requests sent {fmt.milliseconds(sent * 1e3)} late (p99)", False),
    ]
    if load is not None:
        found.append((f"{load * 100:.1f} % of the asked load", bool(flags.load_missed(run))))
    return [*found, (f"{reads:.2f} chunks a read", False), *_nodes(run)]


def _nodes(run: Run) -> list[tuple[str, bool]]:
    """Each node that made load, where it was not this machine: its own figures, and how well its clock is known."""
    found = []
    for node in run.header.get("nodes") or ():
        lost = node.get("lost")
        words = (
            f"{node['node']}: {node['requests']} requests, {fmt.percent(node['core'])} of a core, "
            f"woke {fmt.milliseconds(node['loop_lag_p99'] * 1e3)} late, "
            f"clock ±{fmt.milliseconds(node['error'] * 1e3)}" + (f", lost ({lost})" if lost else "")
        )
        bad = bool(lost) or node["error"] > flags.CLOCK
        found.append((words, bad or node["core"] > flags.CORE or node["loop_lag_p99"] > flags.LOOP_LAG))
    return found


def html(run: Run) -> Markup | None:
    """The line as markup."""
    said = parts(run)
    if not said:
        return None
    pieces: list[Markup | str] = ["client: "]
    for number, (words, bad) in enumerate(said):
        pieces += [", "] if number else []
        pieces.append(tag("span", words, cls="worse") if bad else words)
    return tag("p", *pieces, cls="muted num")


def text(run: Run) -> str:
    """The line as text; "" for runs of other tools."""
    said = [f"!{words}" if bad else words for words, bad in parts(run)]
    return f"client: {', '.join(said)}" if said else ""


def _load(run: Run) -> float | None:
    """The smallest share of the asked load that a point got; of streams that are not meant to be always busy none."""
    shares = []
    for point in run.points:
        streams, held = point.get("max_concurrency"), point.get("achieved_concurrency")
        asked, sent = point.get("scheduled_rate"), point.get("achieved_rate")
        if streams and held is not None:
            if flags.always_busy(run, point["point"]):
                shares.append(held / streams)
        elif asked and sent:
            shares.append(sent / asked)
    return min(shares, default=None)
