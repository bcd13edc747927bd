"""The pieces that every part of a runbook is written with: commands to paste, a run's date, a table's cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from llm_magics.spec.typed import options
from llm_magics.views.runbook.known import Known


def code(*lines: str) -> str:
    """Lines to paste."""
    return "```\n" + "\n".join(lines) + "\n```"


def cell(text: str) -> str:
    """Text in a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def measure(name: str, asked: str) -> str:
    """The command that measures what is not known."""
    return "This measures it:\n\n" + code(f"llm-magics bench {name} {asked}")


def seen(run: Any) -> str:
    """Which run says so, and of when it is."""
    return f"run `{run.id}`, {day(run)}"


def day(run: Any) -> str:
    """The day of a run."""
    return datetime.fromtimestamp(float(run.header["started"]), tz=UTC).strftime("%Y-%m-%d")


def in_cluster(known: Known, *commands: str) -> list[str]:
    """Commands for where it is deployed, `{space}` being the namespace's option and `{what}` the deployment; then a
    word that the rest is for here. Nothing for a server that is not deployed."""
    if not known.namespace:
        return []
    names = {"space": f"--namespace {known.namespace}", "name": known.deployed, "what": f"deployment/{known.deployed}"}
    return ["In the cluster:", "", code(*(each.format(**names) for each in commands)), "",
            "On the machine of the notebook:", ""]  # fmt: skip


def start(name: str, spec: Mapping[str, Any], idle: float | None = None) -> str:
    """The command that starts a server of this spec, to go on when the terminal is closed."""
    life = {"keep": "detached", "idle": f"{idle:g}s" if idle else None}
    return f"llm-magics serve {name} {options({**unusual(spec), **life})}"


def unusual(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A spec without what holds anyway."""
    usual = {"host": "127.0.0.1", "on": "local", "num_cpus": 1}
    return {key: value for key, value in spec.items() if value not in (None, {}, []) and usual.get(key) != value}


def secrets(spec: Mapping[str, Any]) -> Iterator[str]:
    """What has to be put in where a command says `***`."""
    names = [name for name, value in (spec.get("env") or {}).items() if value == "***"]
    if names:
        yield f"Secrets are named, not written down: set {', '.join(names)} in the shell first."
        yield ""
    if any("***" in word for word in spec.get("args") or ()):
        yield "`***` among `--args` stands for a secret: put it in."
        yield ""
