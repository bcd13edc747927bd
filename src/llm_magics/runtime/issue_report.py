"""What somebody needs who is asked "it does not start, why?": versions, the command, the last lines, nothing secret."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable

from llm_magics import __version__
from llm_magics.runtime.gpus import Gpu
from llm_magics.runtime.logs import redact, tail
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry

LINES = 200
_PACKAGES = ("jupyterlab", "notebook", "jupyter_server", "ipykernel", "ipython")


def issue_report(record: Record, registry: Registry, gpus: Iterable[Gpu] = ()) -> str:
    """A server as Markdown for an issue tracker, with the last 200 lines of its log.

    Parameters
    ----------
    gpus
        Those of this machine.
    """
    facts = [
        f"engine: {record.engine} {record.engine_version}".rstrip(),
        f"model: {record.model}",
        f"state: {record.state}{f' ({record.stage})' if record.stage else ''}",
        *([f"exit status: {record.exit}"] if record.exit is not None else []),
        f"llm-magics: {__version__}, Python {platform.python_version()}, {platform.platform()}",
        *(f"{name}: {version}" for name in _PACKAGES if (version := _version(name))),
        *(f"GPU {gpu.index}: {gpu.name}, driver {gpu.driver}" for gpu in gpus),
    ]
    if record.diagnosis:
        facts += [f"{key}: {record.diagnosis[key]}" for key in ("cause", "line", "remedy") if record.diagnosis.get(key)]
    lines = tail(registry.log_path(record.name), LINES)
    parts = [
        f"## {record.name}: {record.engine} is {record.state}",
        "\n".join(f"- {_inline(fact)}" for fact in facts),
        "Command:",
        _fenced(record.command or "(not started)", "sh"),
        f"The last {len(lines)} lines of its log:",
        _fenced("\n".join(lines), "text"),
    ]
    key = registry.key(record.name)
    return redact("\n\n".join(parts) + "\n", [key] if key else [])


def _inline(text: str) -> str:
    return " ".join(text.split())


def _fenced(text: str, language: str) -> str:
    """A code block whose fence is longer than any run of backticks in it."""
    longest = run = 0
    for letter in text:
        run = run + 1 if letter == "`" else 0
        longest = max(longest, run)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
