"""A runbook as Markdown: what to look at first, commands to paste, limits that were measured.

For somebody who was woken and does not know this server. Nothing is guessed: what nobody measured is marked so, with
the cell that measures it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from llm_magics.spec.quantities import written


class _Alert(Protocol):
    name: str
    severity: Any
    hold: float
    meaning: str
    todo: tuple[str, ...]
    cell: str


class _Failure(Protocol):
    pattern: str
    cause: str
    remedy: str


@dataclass(frozen=True)
class Known:
    """What is known of a server.

    Attributes
    ----------
    record
        Its record (see `runtime.record`).
    title, ready
        The engine's name and the page that answers 200.
    runs
        Its whole runs, newest first.
    alerts, failures
        The engine's.
    namespace, deployed
        Where it is in a cluster, if it is; its name there.
    sleeps
        Whether it can give its memory back.
    """

    record: Any
    title: str
    ready: str
    runs: Sequence[Any]
    alerts: Sequence[Any]
    failures: Sequence[Any]
    namespace: str | None
    deployed: str
    sleeps: bool


def markdown(known: Known) -> str:
    """The runbook."""
    parts = [
        _head(known),
        _first(known),
        _limits(known),
        _alerts(known),
        _diagnosis(known),
        _back(known),
        _scale(known),
    ]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _code(*lines: str) -> str:
    return "```\n" + "\n".join(lines) + "\n```"


def _head(known: Known) -> str:
    record = known.record
    spec = {key: value for key, value in record.spec.items() if value not in (None, {}, [])}
    said = [f"{key}: {json.dumps(value) if isinstance(value, (dict, list)) else value}" for key, value in spec.items()]
    cell = _code(f"%%serve {record.name}", *said)
    return "\n".join([
        f"# Runbook: {record.name}", "",
        f"{known.title} {record.engine_version} serves `{record.model}` under the name `{record.served_model}`.",
        "Written by `%llm runbook`; no number in it was made up. Write it again when the server changes.", "",
        "## How it was started", "", cell, "", "The exact command, secrets left out:", "", _code(record.command),
    ])  # fmt: skip


def _first(known: Known) -> str:
    name = known.record.name
    here = _code(
        "llm-magics list                    # is it there, in which state, since when",
        f"llm-magics logs {name} -n 40       # its last words; a failed start ends with cause and remedy",
        "llm-magics gpus                    # who holds the memory",
        "llm-magics monitor status          # what fires, what is not scraped",
    )
    lines = ["## Check in this order", ""]
    if known.namespace:
        space, what = f"--namespace {known.namespace}", known.deployed
        lines += ["In the cluster:", "", _code(
            f"kubectl get pods {space} -l app.kubernetes.io/instance={what} -o wide",
            f"kubectl describe pods {space} -l app.kubernetes.io/instance={what} | tail -30    # events",
            f"kubectl logs {space} deployment/{what} --tail=60",
            f"kubectl logs {space} deployment/{what} --previous --tail=60    # of one that was restarted",
        ), "", "On the machine of the notebook:", ""]  # fmt: skip
    lines += [here, "", f"It is ready when `{known.ready}` answers 200."]
    lines.append("1. Not there or failed: *Diagnosis* below, then *Start it again*.")
    lines.append("2. There, and slow: *Limits*. Is more asked of it than it was measured to carry? Then *Scale*.")
    lines.append("3. There, and wrong after a change: *Roll back*.")
    return "\n".join(lines)


def _limits(known: Known) -> str:
    name = known.record.name
    lines = ["## Limits that were measured", ""]
    slo = next((run for run in known.runs if run.slo), None)
    if slo is None:
        lines += [f"**SLO:** not set in any run. {_measure(name, 'rate: [1, 2, 4]', 'slo: {ttft: 500ms, tpot: 50ms}')}"]
    else:
        said = ", ".join(f"{key} {_time(limit)}" for key, limit in slo.slo.items())
        lines += [f"**SLO:** {said} (run `{slo.id}`, {_day(slo)})."]
    found = next((run for run in known.runs if run.search is not None and run.search.goal == "slo"), None)
    limits = next((f"slo: {written(run.slo)}" for run in known.runs if run.slo), "slo: {ttft: 500ms, tpot: 50ms}")
    if found is not None:
        lines += [
            "",
            f"**Most it carries within it:** {found.search.headline} (run `{found.id}`, {_day(found)}; {_what(found)})",
        ]
        if found.search.reason:
            lines += [found.search.reason]
    else:
        ask = _measure(name, "search: slo", limits, "budget: 120s")
        lines += ["", f"**Most it carries within it:** not measured. {ask}"]
    knee = next((run for run in known.runs if run.search is not None and run.search.knee), None)
    if knee is not None:
        at, most = knee.search.named(knee.search.knee), max(each.load for each in knee.search.probes)
        said = "beyond it more load brings more waiting than work"
        if knee.search.knee >= most:
            said = "the highest load that was tried, so it may lie higher"
        lines += ["", f"**Knee:** {at} (run `{knee.id}`, {_day(knee)}): {said}."]
    else:
        lines += ["", f"**Knee:** not measured. {_measure(name, 'search: saturation', 'budget: 120s')}"]
    lines += ["", *_table(known)]
    return "\n".join(lines)


def _table(known: Known) -> Iterator[str]:
    rows = [(run, point) for run in known.runs[:3] for point in run.points]
    if not rows:
        yield f"**What it does at a load:** not measured. {_measure(known.record.name, 'concurrency: [1, 4, 16]')}"
        return
    yield "What the last runs saw:"
    yield ""
    yield "| Run | Date | Load | Requests/s | Output tokens/s | TTFT p50 / p99 | TPOT p50 | Failed |"
    yield "|---|---|---|---|---|---|---|---|"
    for run, point in rows:
        ttft = f"{_ms(point, 'median_ttft_ms')} / {_ms(point, 'p99_ttft_ms')}"
        load = point.get("label") or "the only point"
        yield (
            f"| `{run.id}` | {_day(run)} | {load} | {_figure(point, 'request_throughput')} | "
            f"{_figure(point, 'output_throughput')} | {ttft} | {_ms(point, 'median_tpot_ms')} | "
            f"{point.get('failed', 0)} |"
        )
    flags = list(dict.fromkeys(flag for run in known.runs[:3] for flag in run.flags))
    if flags:
        yield ""
        yield "Said of these runs: " + "; ".join(flags[:6]) + "."


def _alerts(known: Known) -> str:
    lines = ["## Alerts, and what to do", ""]
    for each in known.alerts:
        lines += [f"### {each.name} ({each.severity}, after {each.hold:g} s)", "", each.meaning, ""]
        lines += [f"{number}. {step}" for number, step in enumerate(each.todo, 1)]
        lines += ["", _code(each.cell.replace("{server}", known.record.name)), ""]
    if not known.alerts:
        lines.append("There is no rule for this engine.")
    return "\n".join(lines)


def _diagnosis(known: Known) -> str:
    lines = [f"## Diagnosis: what {known.title}'s log says when it fails", "",
             "`llm-magics logs` shows the line; `{0}` stands for what the line names.", "",
             "| In the log | Cause | Remedy |", "|---|---|---|"]  # fmt: skip
    lines += [f"| `{_cell(each.pattern)}` | {_cell(each.cause)} | {_cell(each.remedy)} |" for each in known.failures]
    return "\n".join(lines)


def _back(known: Known) -> str:
    name = known.record.name
    lines = ["## Start it again, roll back", ""]
    if known.namespace:
        space, what = f"--namespace {known.namespace}", f"deployment/{known.deployed}"
        lines += ["In the cluster:", "", _code(
            f"kubectl rollout restart {space} {what}    # the same again",
            f"kubectl rollout history {space} {what}",
            f"kubectl rollout undo {space} {what}       # the one before",
            f"kubectl rollout status {space} {what}",
        ), ""]  # fmt: skip
    lines += [
        "On the machine of the notebook: stop it, and run the cell above"
        + (", with the secrets in place of `***`." if "***" in json.dumps(known.record.spec) else " as it stands."),
        "",
    ]
    lines += [_code(f"llm-magics stop {name}", f"llm-magics logs {name} -n 40")]
    started = next((run for run in known.runs if run.header.get("ready_after")), None)
    if started is not None:
        seconds = started.header["ready_after"]
        lines += ["", f"The last start took {seconds:.0f} s until it was ready (run `{started.id}`)."]
    else:
        lines += ["", "How long a start takes: not measured. Any bench of it notes it."]
    return "\n".join(lines)


def _scale(known: Known) -> str:
    name, lines = known.record.name, ["## Scale", ""]
    if known.namespace:
        space, what = f"--namespace {known.namespace}", f"deployment/{known.deployed}"
        scale = f"kubectl scale {space} {what} --replicas=N    # not where an autoscaler has the number"
        lines += [_code(scale, f"kubectl get hpa {space} {known.deployed}"), ""]
    else:
        lines += ["It runs on one machine. More of it: in a cluster, grown by its queue.", ""]
        lines += [_code(f"llm-magics deploy {name} --to kubernetes --max-replicas N --out {name}.yaml"), ""]
    found = next((run for run in known.runs if run.search is not None and run.search.goal == "slo"), None)
    answer = found.search.answer if found is not None else None
    if found is not None and answer:
        lines.append(
            f"One of it carries {found.search.named(answer)} within the SLO (run `{found.id}`): divide by that."
        )
    else:
        lines.append("How many are needed: not known, for what one carries was not measured (*Limits*).")
    if known.sleeps:
        lines.append(f"To give its GPU memory to another for a while: `llm-magics sleep {name}`, then `wake`.")
    return "\n".join(lines)


def _measure(name: str, *body: str) -> str:
    return "This cell measures it:\n\n" + _code(f"%%bench {name}", *body)


def _day(run: Any) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(float(run.header["started"]), tz=UTC).strftime("%Y-%m-%d")


def _what(run: Any) -> str:
    work = run.workload
    return f"{work.get('workload') or 'random'}, {work.get('input_tokens')} tokens in, {work.get('output_tokens')} out"


def _time(seconds: float) -> str:
    return f"{seconds * 1000:g} ms" if seconds < 1 else f"{seconds:g} s"


def _figure(point: Mapping[str, Any], key: str) -> str:
    value = point.get(key)
    return "not measured" if value is None else f"{value:.1f}"


def _ms(point: Mapping[str, Any], key: str) -> str:
    value = point.get(key)
    return "not measured" if value is None or value != value else f"{value:.0f} ms"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
