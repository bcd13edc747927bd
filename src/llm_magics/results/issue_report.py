"""A run as a report that a maintainer can run again: Markdown, ready to paste, with nothing private in it.

What is kept is named here one by one (versions, options, workload, figures); hosts, users, paths, addresses and values
of environment variables are no part of it. A path of a model becomes its last name.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from llm_magics.errors import SpecError
from llm_magics.results.secrets import without_secrets
from llm_magics.spec import Workload
from llm_magics.spec.quantities import written
from llm_magics.spec.reading import read_value

if TYPE_CHECKING:
    from llm_magics.results.run import Run

_FIGURES = {
    "label": "load", "completed": "finished", "failed": "failed", "output_throughput": "output tok/s",
    "median_ttft_ms": "TTFT p50 ms", "p99_ttft_ms": "TTFT p99 ms", "median_tpot_ms": "TPOT p50 ms",
    "p99_tpot_ms": "TPOT p99 ms", "goodput": "goodput",
}  # fmt: skip
_PATH = re.compile(r"(?<![\w:/.])(?:~|\.{0,2})(?:/[\w.@+-]+)+/?|[A-Za-z]:\\[^\s\"']+|(?<=[=:])(?:/[\w.@+-]+)+")
_ADDRESS = re.compile(r"https?://[^\s\"'<>|]+")
_HOST = re.compile(r"\b(?:\d{1,3}(?:\.\d{1,3}){3}|localhost)(?::\d+)?\b")
_UNSAID = ("python", "bin", "host", "port", "name", "keep", "idle", "timeout", "on", "image")  # of this machine


def issue_report(run: Run, question: str = "") -> str:
    """The report; `question` stands first where one is given.

    Parameters
    ----------
    run
        A finished or partial run.
    question
        What is to be asked or said, in the reporter's words.
    """
    header = without_secrets(run.header)
    engine = f"{header.get('engine') or 'unknown'} {header.get('engine_version') or ''}".strip()
    parts = [
        f"### {question or 'What was seen'}\n\n{_table(run)}",
        *([f"Notes of the load generator:\n{_listed([public(flag) for flag in run.flags])}"] if run.flags else []),
        f"### How to see it again\n\n```\n{_server(header)}\n```\n\n```\n{_bench(header.get('workload') or {})}\n```",
        f"The engine's own command:\n\n```\n{public(str(header.get('command') or 'not known'))}\n```",
        "### Where\n\n" + _listed([
            f"engine: {engine}", f"model: {public(str(header.get('model') or 'unknown'))}",
            f"GPU: {header.get('gpu') or 'none'}", f"driver: {header.get('driver') or 'none'}",
            f"cores: {header.get('cores') or 'unknown'}", f"system: {_system(str(header.get('system') or 'unknown'))}",
            f"Python: {header.get('python') or 'unknown'}", f"measured by llm-magics {header.get('llm_magics') or ''}",
            f"status of the run: {run.status}",
        ]),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def public(text: str) -> str:
    """Text without addresses, hosts, paths and values that look like secrets."""
    from_environment = [
        value for key, value in os.environ.items() if re.search(r"TOKEN|KEY|SECRET|PASSWORD", key) and len(value) > 7
    ]
    for value in from_environment:
        text = text.replace(value, "***")
    text = re.sub(r"\b(?:hf_|sk-)[\w-]{8,}", "***", text)
    text = re.sub(r"(--api-key[= ])\S+", r"\1***", text)
    text = _ADDRESS.sub("http://ADDRESS", text)
    text = _PATH.sub(lambda found: PurePath(found[0].replace("\\", "/")).name or "PATH", text)
    return _HOST.sub("ADDRESS", text)


def _server(header: Mapping[str, Any]) -> str:
    spec = dict(header.get("spec") or {})
    if not spec:
        return "an endpoint that llm-magics did not start"
    lines = [f"%%serve server --engine {spec.pop('engine', 'unknown')}"]
    for key, value in spec.items():
        if key in _UNSAID or value in (None, {}, []):
            continue
        lines.append(f"{key}: {_said(value)}")
    return "\n".join(lines)


def _bench(workload: Mapping[str, Any]) -> str:
    """The cell: what is not as it would be left out; a default of one kind of prompts is an error beside another."""
    usual = Workload().model_dump(mode="json")
    limits = {name: limit for name, limit in (workload.get("slo") or {}).items() if limit is not None}
    kept = {key: value for key, value in workload.items() if key in usual and value != usual[key] and key != "slo"}
    lines = [f"# {key}: the reporter's own" if key in _SILENT else f"{key}: {_said(kept[key])}" for key in kept]
    if kept.get("workload") == "dataframe":
        lines.append("# data: the reporter's own")
    return "\n".join(["%%bench server", *lines, *([f"slo: {written(limits)}"] if limits else [])])


def _said(value: Any) -> str:
    """A value as a cell's body takes it: text in quotes where it would be read as something else, or not at all."""
    if isinstance(value, str):
        with suppress(SpecError):
            if read_value(value) == value:
                return public(value)
    return public(json.dumps(value, ensure_ascii=False))


_SILENT = ("path",)  # may hold what is the reporter's own


def _table(run: Run) -> str:
    names = [name for name in _FIGURES if any(point.get(name) is not None for point in run.points)]
    rows = [[_figure(point.get(name)) for name in names] for point in run.points]
    heads = [_FIGURES[name] for name in names]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, ["---"] * len(heads), *rows]) if rows else "Nothing."


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def _listed(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _system(said: str) -> str:
    """The kind of system without its build's own marks, which may name a company's images."""
    return "-".join(said.split("-")[:2])
