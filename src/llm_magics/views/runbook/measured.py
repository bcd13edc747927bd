"""The limits that were measured and what follows from them for more load; what was not measured, marked so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llm_magics.spec.quantities import written
from llm_magics.spec.typed import in_terminal
from llm_magics.views.runbook.blocks import code, day, measure, seen
from llm_magics.views.runbook.known import Known


def limits(known: Known) -> str:
    """SLO, the most that it carries within it, knee, what the last runs saw."""
    name = known.name
    lines = ["## Limits that were measured", ""]
    slo, found = known.with_slo, known.within_slo
    asked = "ttft=500ms,tpot=50ms"
    if slo is None:
        lines += [f"**SLO:** not set in any run. {measure(name, f'--rate 1,2,4 --slo {asked}')}"]
    else:
        said = written(slo.slo)[1:-1]
        asked = said.replace(": ", "=").replace(", ", ",")
        lines += [f"**SLO:** {said.replace(':', '')} ({seen(slo)})."]
    if found is not None:
        lines += ["", f"**Most it carries within it:** {found.search.headline} ({seen(found)}; {_what(found)})"]
        lines += [found.search.reason] * bool(found.search.reason)
    else:
        ask = measure(name, f"--search slo --slo {asked} --budget 120s")
        lines += ["", f"**Most it carries within it:** not measured. {ask}"]
    return "\n".join([*lines, "", _knee(known), "", *_table(known)])


def _knee(known: Known) -> str:
    knee = next((run for run in known.runs if run.search is not None and run.search.knee), None)
    if knee is None:
        return f"**Knee:** not measured. {measure(known.name, '--search saturation --budget 120s')}"
    found = knee.search
    higher = [each for each in found.probes if each.load > found.knee]
    said = "beyond it more load brings more waiting than work"
    if not higher:
        said = "the highest load that was tried, so it may lie higher"
    elif not any(each.whole for each in higher):
        said = f"the highest load whose requests were all answered; {found.named(higher[0].load)} left some unanswered"
    return f"**Knee:** {found.named(found.knee)} ({seen(knee)}): {said}."


def _table(known: Known) -> Iterator[str]:
    rows = [(run, point) for run in known.runs[:3] for point in run.points]
    if not rows:
        yield f"**What it does at a load:** not measured. {measure(known.name, '--concurrency 1,4,16')}"
        return
    yield "What the last runs saw:"
    yield ""
    yield "| Run | Date | Load | Requests/s | Output tokens/s | TTFT p50 / p99 | TPOT p50 | Failed |"
    yield "|---|---|---|---|---|---|---|---|"
    for run, point in rows:
        load, failed = point.get("label") or "the only point", point.get("failed", 0)
        if failed and point.get("completed") == 0:
            yield f"| `{run.id}` | {day(run)} | {load} | no request was answered | | | | all {failed} |"
            continue
        ttft = f"{_ms(point, 'median_ttft_ms')} / {_ms(point, 'p99_ttft_ms')}"
        yield (
            f"| `{run.id}` | {day(run)} | {load} | {_figure(point, 'request_throughput')} | "
            f"{_figure(point, 'output_throughput')} | {ttft} | {_ms(point, 'median_tpot_ms')} | "
            f"{failed} |"
        )
    flagged = [run for run in known.runs[:3] if run.flags]
    if flagged:
        yield ""
        yield from (f"- Run `{run.id}`: {'; '.join(dict.fromkeys(run.flags))}." for run in flagged)


def scale(known: Known) -> str:
    """More of it."""
    name, lines = known.name, ["## Scale", ""]
    if known.namespace:
        space, what = f"--namespace {known.namespace}", f"deployment/{known.deployed}"
        more = f"kubectl scale {space} {what} --replicas=N    # not where an autoscaler has the number"
        lines += [code(more, f"kubectl get hpa {space} {known.deployed}"), ""]
    else:
        lines += ["It runs on one machine. More of it: in a cluster, grown by its queue.", ""]
        if known.undeployable:
            lines += [f"That needs something first: {in_terminal(known.undeployable)}", ""]
        else:
            lines += [code(f"llm-magics deploy {name} --to kubernetes --max-replicas 4 --out {name}.yaml"), ""]
    found = known.within_slo
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


def _what(run: Any) -> str:
    work = run.workload
    return f"{work.get('workload') or 'random'}, {work.get('input_tokens')} tokens in, {work.get('output_tokens')} out"


def _figure(point: Mapping[str, Any], key: str) -> str:
    value = point.get(key)
    return "not measured" if value is None else f"{value:.1f}"


def _ms(point: Mapping[str, Any], key: str) -> str:
    value = point.get(key)
    return "not measured" if value is None or value != value else f"{value:.0f} ms"
