"""What to do when something is wrong: the first look, each alert, what the log says and what it means."""

from __future__ import annotations

import re
from typing import Any

from llm_magics.spec.quantities import written
from llm_magics.views import format as fmt
from llm_magics.views.runbook.blocks import cell, code, in_cluster, seen
from llm_magics.views.runbook.known import Known
from llm_magics.views.signature import filled, readable

_OF_GPU = re.compile(r"GPU|NCCL|NVIDIA|CUDA", re.IGNORECASE)


def first(known: Known) -> str:
    """What to look at, in which order."""
    lines = ["## Check in this order", "", *in_cluster(
        known,
        "kubectl get pods {space} -l app.kubernetes.io/instance={name} -o wide",
        "kubectl describe pods {space} -l app.kubernetes.io/instance={name} | tail -30    # events",
        "kubectl logs {space} {what} --tail=60",
        "kubectl logs {space} {what} --previous --tail=60    # of one that was restarted",
    ), code(
        "llm-magics list                    # is it there, in which state, since when",
        f"{f'llm-magics logs {known.name} -n 40':35}# its last words; a failed start ends with cause and remedy",
        *["llm-magics gpus                    # who holds the memory"] * known.gpu,
        "llm-magics monitor status          # what fires, what is not scraped",
    ), "", f"It is ready when `{known.ready}` answers 200."]  # fmt: skip
    lines.append("1. Not there or failed: *Diagnosis* below, then *Start it again*.")
    lines.append("2. There, and slow: *Limits*. Is more asked of it than it was measured to carry? Then *Scale*.")
    lines.append("3. There, and wrong after a change: *Roll back*.")
    return "\n".join(lines)


def alerts(known: Known) -> str:
    """Each alert of the engine: when it fires, what it means, what to do."""
    lines = ["## Alerts, and what to do", ""]
    shown = [each for each in known.alerts if known.gpu or not each.name.startswith("Gpu")]
    if not shown:
        return "\n".join([*lines, "There is no rule for this engine."])
    lines += _limits(known, shown)
    for each in shown:
        hold = each.hold if known.hold is None else known.hold
        limits = [f"{name} {fmt.threshold(*known.limits[name])}" for name in each.limits if name in known.limits]
        when = ", ".join([*[f"limit {' and '.join(limits)}"] * bool(limits), f"after {hold:g} s"])
        note = each.notes.get(known.record.engine, "")
        lines += [f"### {each.name} ({each.severity}, {when})", "", f"{each.meaning} {note}".rstrip(), ""]
        steps = [step for step in each.todo if known.gpu or "GPU" not in step or "CPU" in step]
        lines += [f"{number}. {known.named(step)}" for number, step in enumerate(steps, 1)]
        look = each.cell if known.gpu or each.cell != "%llm gpus" else "%llm list"
        lines += ["", code(known.named(look)), ""]
    return "\n".join(lines)


def _limits(known: Known, shown: list[Any]) -> list[str]:
    """Whose limits they are, and how to set them to what was asked of the server."""
    if not known.limits:
        return []
    whose = "those of the monitor that runs" if known.monitored else "the defaults, for no monitor runs here"
    lines = [f"The limits are {whose}.", ""]
    used, run = {name for each in shown for name in each.limits}, known.with_slo
    slo = run.slo if run is not None else {}
    other = {name: value for name, value in slo.items() if name in used and value != known.limits[name][0]}
    if other:
        said = written(other)[1:-1].replace(": ", "=").replace(", ", ",")
        lines += [f"The SLO asks for others ({seen(run)}). This takes them:", "",
                  code(f"llm-magics monitor up --limits {said}"), ""]  # fmt: skip
    return lines


def diagnosis(known: Known) -> str:
    """The log's lines that are known, with cause and remedy."""
    lines = [f"## Diagnosis: what {known.title}'s log says when it fails", "",
             "`llm-magics logs` shows the line; `…` stands for what the line itself names.", "",
             "| In the log | Cause | Remedy |", "|---|---|---|"]  # fmt: skip
    for each in known.failures:
        words = readable(each.pattern)
        if not known.gpu:
            words = [] if _OF_GPU.search(each.cause) else [word for word in words if not _OF_GPU.search(word)]
        if words:
            seen = " or ".join(f"`{cell(word)}`" if "`" not in word else f"`` {cell(word)} ``" for word in words)
            lines.append(f"| {seen} | {_words(each.cause, known)} | {_words(each.remedy, known)} |")
    return "\n".join(lines)


def _words(text: str, known: Known) -> str:
    return cell(known.named(filled(text)))
