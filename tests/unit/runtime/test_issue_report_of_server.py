"""The issue report: what helps is in it, what is secret is not, and no log can break out of its block."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llm_magics import __version__
from llm_magics.runtime.issue_report import issue_report
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry


def made(tmp_path: Path, log: str = "", **changes: Any) -> str:
    registry = Registry(tmp_path)
    registry.log_path("s").write_text(log)
    values = {
        "name": "s", "engine": "vllm", "engine_version": "0.32", "model": "m", "state": "failed", "created": 1.0,
        "host": "h", "reuse_key": "k", "spec": {}, "supervisor": {}, "exit": 1, "command": "vllm serve m",
    }  # fmt: skip
    return issue_report(Record(**{**values, **changes}), registry)


def test_versions_command_diagnosis_and_the_last_lines(tmp_path: Path) -> None:
    log = "".join(f"line {number}\n" for number in range(1000))
    text = made(tmp_path, log, diagnosis={"cause": "no memory", "line": "OOM", "remedy": "a smaller model"})
    for wanted in ("vllm 0.32", f"llm-magics: {__version__}", "exit status: 1", "vllm serve m", "cause: no memory"):
        assert wanted in text
    assert "last 200 lines" in text
    assert "line 999" in text
    assert "line 800" in text
    assert "line 799\n" not in text


def test_secrets_are_left_out(tmp_path: Path) -> None:
    Registry(tmp_path).write_key("s", "the-key")
    text = made(tmp_path, "uses the-key and hf_abcDEF1234567890\n", command="x --api-key abc123")
    assert "the-key" not in text
    assert "hf_abc" not in text
    assert "abc123" not in text


def test_a_log_with_fences_stays_in_its_block(tmp_path: Path) -> None:
    text = made(tmp_path, "a\n````\n<script>\n")
    assert text.count("\n`````") == 2


def test_a_server_without_a_log_has_a_report(tmp_path: Path) -> None:
    assert "The last 0 lines" in made(tmp_path)
