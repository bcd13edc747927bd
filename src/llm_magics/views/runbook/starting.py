"""How the server was started, and how it is started again: as it was, or as it was before."""

from __future__ import annotations

import json

from llm_magics.views.runbook.blocks import code, in_cluster, secrets, seen, start, unusual
from llm_magics.views.runbook.known import Earlier, Known


def head(known: Known) -> str:
    """What it is and the commands that it came from."""
    record = known.record
    spec = unusual(record.spec)
    said = [f"{key}: {json.dumps(value) if isinstance(value, (dict, list)) else value}" for key, value in spec.items()]
    return "\n".join([
        f"# Runbook: {record.name}", "",
        f"{known.title} {record.engine_version} serves `{record.model}` under the name `{record.served_model}`.",
        "Written by `llm-magics runbook`; no number in it was made up. Write it again when the server changes.",
        "Commands are for a terminal on the machine that serves, where `llm-magics` is installed.", "",
        "## How it was started", "", code(start(record.name, record.spec, record.idle)), "",
        *secrets(record.spec), "The same as a cell of a notebook:", "", code(f"%%serve {record.name}", *said), "",
        "The engine's own command, secrets left out:", "", code(record.command),
    ])  # fmt: skip


def back(known: Known) -> str:
    """Start it again, or roll back."""
    record, name = known.record, known.name
    lines = ["## Start it again, roll back", "", *in_cluster(
        known,
        "kubectl rollout restart {space} {what}    # the same again",
        "kubectl rollout history {space} {what}",
        "kubectl rollout undo {space} {what}       # the one before",
        "kubectl rollout status {space} {what}",
    )]  # fmt: skip
    lines += [
        "Start it again, as it was (`stop` says so when it does not run):", "", code(
            f"llm-magics stop {name}",
            start(name, record.spec, record.idle),
            f"llm-magics logs {name} -n 40",
        ), "", *secrets(record.spec),
    ]  # fmt: skip
    if not known.earlier:
        lines.append("Roll back: no other setting and no other version of it was measured here, so none is known.")
    for each in known.earlier:
        lines += [f"Roll back to {_before(each, known)} ({seen(each.run)}):", "", code(
            f"llm-magics stop {name}", *[each.install] * bool(each.install),
            start(name, each.spec, record.idle), f"llm-magics logs {name} -n 40",
        ), "", *secrets(each.spec)]  # fmt: skip
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
