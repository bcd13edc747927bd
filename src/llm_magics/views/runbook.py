"""A runbook as Markdown: what to look at first, commands to paste, limits that were measured.

For somebody who was woken and does not know this server, at a terminal: every command is one of a shell. Nothing is
guessed: what nobody measured is marked so, with the command that measures it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from llm_magics.spec.quantities import written
from llm_magics.spec.typed import in_terminal, options
from llm_magics.views.signature import filled, readable

_OF_GPU = re.compile(r"GPU|NCCL|NVIDIA|CUDA", re.IGNORECASE)


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
class Earlier:
    """A setting or a version that ran under this name before: its spec, the engine's version, the run that saw it.

    `install` is what brings that version back, "" where it is the one that is here.
    """

    spec: Mapping[str, Any]
    version: str
    run: Any
    install: str = ""


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
    gpu
        Whether it may be on a GPU; what is about GPUs only is left out of the runbook of one that is not.
    earlier
        What ran under this name before, newest first.
    undeployable
        Why it cannot be deployed as it is and what is needed instead; "" where it can.
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
    gpu: bool = True
    earlier: Sequence[Earlier] = ()
    undeployable: str = ""


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


def _start(name: str, spec: Mapping[str, Any], idle: float | None = None) -> str:
    """The command that starts a server of this spec, to go on when the terminal is closed."""
    life = {"keep": "detached", "idle": f"{idle:g}s" if idle else None}
    return f"llm-magics serve {name} {options({**_unusual(spec), **life})}"


def _unusual(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A spec without what holds anyway."""
    usual = {"host": "127.0.0.1", "on": "local", "num_cpus": 1}
    return {key: value for key, value in spec.items() if value not in (None, {}, []) and usual.get(key) != value}


def _code(*lines: str) -> str:
    return "```\n" + "\n".join(lines) + "\n```"


def _head(known: Known) -> str:
    record = known.record
    spec = _unusual(record.spec)
    said = [f"{key}: {json.dumps(value) if isinstance(value, (dict, list)) else value}" for key, value in spec.items()]
    return "\n".join([
        f"# Runbook: {record.name}", "",
        f"{known.title} {record.engine_version} serves `{record.model}` under the name `{record.served_model}`.",
        "Written by `llm-magics runbook`; no number in it was made up. Write it again when the server changes.",
        "Commands are for a terminal on the machine that serves, where `llm-magics` is installed.", "",
        "## How it was started", "", _code(_start(record.name, record.spec, record.idle)), "",
        *_secrets(record.spec), "The same as a cell of a notebook:", "", _code(f"%%serve {record.name}", *said), "",
        "The engine's own command, secrets left out:", "", _code(record.command),
    ])  # fmt: skip


def _secrets(spec: Mapping[str, Any]) -> Iterator[str]:
    names = [name for name, value in (spec.get("env") or {}).items() if value == "***"]
    if names:
        yield f"Secrets are named, not written down: set {', '.join(names)} in the shell first."
        yield ""
    if any("***" in word for word in spec.get("args") or ()):
        yield "`***` among `--args` stands for a secret: put it in."
        yield ""


def _first(known: Known) -> str:
    name = known.record.name
    here = _code(
        "llm-magics list                    # is it there, in which state, since when",
        f"{f'llm-magics logs {name} -n 40':35}# its last words; a failed start ends with cause and remedy",
        *["llm-magics gpus                    # who holds the memory"] * known.gpu,
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
    limits = "ttft=500ms,tpot=50ms"
    if slo is None:
        lines += [f"**SLO:** not set in any run. {_measure(name, f'--rate 1,2,4 --slo {limits}')}"]
    else:
        said = written(slo.slo)[1:-1]
        limits = said.replace(": ", "=").replace(", ", ",")
        lines += [f"**SLO:** {said.replace(':', '')} (run `{slo.id}`, {_day(slo)})."]
    found = next((run for run in known.runs if run.search is not None and run.search.goal == "slo"), None)
    if found is not None:
        lines += [
            "",
            f"**Most it carries within it:** {found.search.headline} (run `{found.id}`, {_day(found)}; {_what(found)})",
        ]
        if found.search.reason:
            lines += [found.search.reason]
    else:
        ask = _measure(name, f"--search slo --slo {limits} --budget 120s")
        lines += ["", f"**Most it carries within it:** not measured. {ask}"]
    knee = next((run for run in known.runs if run.search is not None and run.search.knee), None)
    if knee is not None:
        at, most = knee.search.named(knee.search.knee), max(each.load for each in knee.search.probes)
        said = "beyond it more load brings more waiting than work"
        if knee.search.knee >= most:
            said = "the highest load that was tried, so it may lie higher"
        lines += ["", f"**Knee:** {at} (run `{knee.id}`, {_day(knee)}): {said}."]
    else:
        lines += ["", f"**Knee:** not measured. {_measure(name, '--search saturation --budget 120s')}"]
    lines += ["", *_table(known)]
    return "\n".join(lines)


def _table(known: Known) -> Iterator[str]:
    rows = [(run, point) for run in known.runs[:3] for point in run.points]
    if not rows:
        yield f"**What it does at a load:** not measured. {_measure(known.record.name, '--concurrency 1,4,16')}"
        return
    yield "What the last runs saw:"
    yield ""
    yield "| Run | Date | Load | Requests/s | Output tokens/s | TTFT p50 / p99 | TPOT p50 | Failed |"
    yield "|---|---|---|---|---|---|---|---|"
    for run, point in rows:
        load, failed = point.get("label") or "the only point", point.get("failed", 0)
        if failed and point.get("completed") == 0:
            yield f"| `{run.id}` | {_day(run)} | {load} | no request was answered | | | | all {failed} |"
            continue
        ttft = f"{_ms(point, 'median_ttft_ms')} / {_ms(point, 'p99_ttft_ms')}"
        yield (
            f"| `{run.id}` | {_day(run)} | {load} | {_figure(point, 'request_throughput')} | "
            f"{_figure(point, 'output_throughput')} | {ttft} | {_ms(point, 'median_tpot_ms')} | "
            f"{failed} |"
        )
    flagged = [run for run in known.runs[:3] if run.flags]
    if flagged:
        yield ""
        yield from (f"- Run `{run.id}`: {'; '.join(dict.fromkeys(run.flags))}." for run in flagged)


def _alerts(known: Known) -> str:
    lines = ["## Alerts, and what to do", ""]
    shown = [each for each in known.alerts if known.gpu or not each.name.startswith("Gpu")]
    for each in shown:
        lines += [f"### {each.name} ({each.severity}, after {each.hold:g} s)", "", each.meaning, ""]
        steps = [step for step in each.todo if known.gpu or "GPU" not in step or "CPU" in step]
        lines += [f"{number}. {_named(step, known)}" for number, step in enumerate(steps, 1)]
        cell = each.cell if known.gpu or each.cell != "%llm gpus" else "%llm list"
        lines += ["", _code(_named(cell, known)), ""]
    if not shown:
        lines.append("There is no rule for this engine.")
    return "\n".join(lines)


def _diagnosis(known: Known) -> str:
    lines = [f"## Diagnosis: what {known.title}'s log says when it fails", "",
             "`llm-magics logs` shows the line; `…` stands for what the line itself names.", "",
             "| In the log | Cause | Remedy |", "|---|---|---|"]  # fmt: skip
    for each in known.failures:
        words = readable(each.pattern)
        if not known.gpu:
            words = [] if _OF_GPU.search(each.cause) else [word for word in words if not _OF_GPU.search(word)]
        if words:
            seen = " or ".join(f"`{_cell(word)}`" if "`" not in word else f"`` {_cell(word)} ``" for word in words)
            lines.append(f"| {seen} | {_said(each.cause, known)} | {_said(each.remedy, known)} |")
    return "\n".join(lines)


def _named(text: str, known: Known) -> str:
    """A notebook's words as a terminal's, with the server's name."""
    return in_terminal(re.sub(r"\{server\}|\bNAME\b", known.record.name, text))


def _said(text: str, known: Known) -> str:
    return _cell(_named(filled(text), known))


def _back(known: Known) -> str:
    record, name = known.record, known.record.name
    lines = ["## Start it again, roll back", ""]
    if known.namespace:
        space, what = f"--namespace {known.namespace}", f"deployment/{known.deployed}"
        lines += ["In the cluster:", "", _code(
            f"kubectl rollout restart {space} {what}    # the same again",
            f"kubectl rollout history {space} {what}",
            f"kubectl rollout undo {space} {what}       # the one before",
            f"kubectl rollout status {space} {what}",
        ), "", "On the machine of the notebook:", ""]  # fmt: skip
    lines += [
        "Start it again, as it was (`stop` says so when it does not run):", "", _code(
            f"llm-magics stop {name}",
            _start(name, record.spec, record.idle),
            f"llm-magics logs {name} -n 40",
        ), "", *_secrets(record.spec),
    ]  # fmt: skip
    if not known.earlier:
        lines.append("Roll back: no other setting and no other version of it was measured here, so none is known.")
    for each in known.earlier:
        lines += [f"Roll back to {_before(each, known)} (run `{each.run.id}`, {_day(each.run)}):", "", _code(
            f"llm-magics stop {name}", *[each.install] * bool(each.install),
            _start(name, each.spec, record.idle), f"llm-magics logs {name} -n 40",
        ), "", *_secrets(each.spec)]  # fmt: skip
    started = next((run for run in known.runs if run.header.get("ready_after")), None)
    if started is not None:
        seconds = started.header["ready_after"]
        lines += ["", f"The last start took {seconds:.0f} s until it was ready (run `{started.id}`)."]
    else:
        lines += ["", "How long a start takes: not measured. Any bench of it notes it."]
    return "\n".join(lines)


def _before(each: Earlier, known: Known) -> str:
    """What was other than it is now."""
    now, then = known.record.spec, each.spec
    keys = [key for key in dict.fromkeys([*then, *now]) if then.get(key) != now.get(key)]
    said = [f"{key} {json.dumps(then[key]) if then.get(key) not in (None, {}, []) else 'left out'}" for key in keys]
    if each.install:
        said.insert(0, f"version {each.version}")
    return "what ran with " + ", ".join(said)


def _scale(known: Known) -> str:
    name, lines = known.record.name, ["## Scale", ""]
    if known.namespace:
        space, what = f"--namespace {known.namespace}", f"deployment/{known.deployed}"
        scale = f"kubectl scale {space} {what} --replicas=N    # not where an autoscaler has the number"
        lines += [_code(scale, f"kubectl get hpa {space} {known.deployed}"), ""]
    else:
        lines += ["It runs on one machine. More of it: in a cluster, grown by its queue.", ""]
        if known.undeployable:
            lines += [f"That needs something first: {in_terminal(known.undeployable)}", ""]
        else:
            lines += [_code(f"llm-magics deploy {name} --to kubernetes --max-replicas 4 --out {name}.yaml"), ""]
    found = next((run for run in known.runs if run.search is not None and run.search.goal == "slo"), None)
    answer = found.search.answer if found is not None else None
    if found is not None and answer:
        lines.append(
            f"One of it carries {found.search.named(answer)} within the SLO (run `{found.id}`): divide by that."
        )
    else:
        lines.append("How many are needed: not known, for what one carries was not measured (*Limits*).")
    if known.sleeps and known.gpu:
        lines.append(f"To give its GPU memory to another for a while: `llm-magics sleep {name}`, then `wake`.")
    return "\n".join(lines)


def _measure(name: str, asked: str) -> str:
    return "This measures it:\n\n" + _code(f"llm-magics bench {name} {asked}")


def _day(run: Any) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(float(run.header["started"]), tz=UTC).strftime("%Y-%m-%d")


def _what(run: Any) -> str:
    work = run.workload
    return f"{work.get('workload') or 'random'}, {work.get('input_tokens')} tokens in, {work.get('output_tokens')} out"


def _figure(point: Mapping[str, Any], key: str) -> str:
    value = point.get(key)
    return "not measured" if value is None else f"{value:.1f}"


def _ms(point: Mapping[str, Any], key: str) -> str:
    value = point.get(key)
    return "not measured" if value is None or value != value else f"{value:.0f} ms"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
