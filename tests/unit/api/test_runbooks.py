"""A runbook says what was measured and by which run, and of the rest that nobody measured it."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from llm_magics import engines
from llm_magics.api.deploying import spec_of
from llm_magics.api.runbooks import runbook
from llm_magics.errors import SpecError
from llm_magics.monitor.alerts import of_engine
from llm_magics.results.journal import Journal
from llm_magics.results.search import Search
from llm_magics.results.searcher import Probe
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.views.runbook import Known, markdown


class Measured:
    """A run as a runbook sees it."""

    def __init__(self, run: str, search: Search | None = None, slo: dict[str, float] | None = None) -> None:
        self.id, self.search, self.slo = run, search, slo or {}
        self.header: dict[str, Any] = {"started": 1_790_000_000.0, "ready_after": 41.7}
        self.workload = {"workload": "random", "input_tokens": 64, "output_tokens": 32}
        self.points = [{"label": "4 req/s", "request_throughput": 3.9, "median_ttft_ms": 120.4, "failed": 2}]
        self.flags = ["at 4 req/s: other processes used 1.2 of the 2 cores"]


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "rt"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    usual = Registry.get
    monkeypatch.setattr(Registry, "get", lambda self, name: record() if name == "qwen" else usual(self, name))


def record() -> Record:
    spec = spec_of("other", {"engine": "vllm", "model": "Qwen/Qwen3-0.6B", "max_model_len": 4096})
    return Record(
        "qwen", "vllm", spec.model, "ready", time.time(), "127.0.0.1", spec.reuse_key, spec.identity, {"pid": 1},
        served_model=spec.model, command="VLLM_API_KEY=*** vllm serve Qwen/Qwen3-0.6B",
    )  # fmt: skip


def known(runs: list[Measured], namespace: str | None = None) -> Known:
    engine = engines.get("vllm")
    return Known(
        record(), engine.title, engine.ready_path, runs, of_engine("vllm"), engine.failures, namespace, "qwen", True
    )


def test_what_nobody_measured_is_said_to_be_so_with_the_cell_that_measures_it() -> None:
    text = markdown(known([]))
    limits = text[text.index("## Limits") : text.index("## Alerts")]
    assert limits.count("not measured") == 3
    assert limits.count("%%bench qwen") == 4
    assert "search: slo" in limits
    assert not re.search(r"\d+(\.\d+)? (req/s|tokens/s|ms\b)", limits.replace("500ms", "").replace("50ms", ""))
    assert "How long a start takes: not measured" in text


def searched(knee: float) -> Search:
    probes = [Probe(load, 20) for load in (3.0, 4.0, 5.0)]
    return Search("slo", "rate", 0.95, {"ttft": 0.5}, 60.0, 4.0, 5.0, True, 0.9, 1.0, knee, "found", 55.0, probes)


def test_a_knee_at_the_end_of_what_was_tried_is_no_knee_yet() -> None:
    assert "it may lie higher" in markdown(known([Measured("r1aaaa", searched(knee=5.0))]))
    assert "more waiting than work" in markdown(known([Measured("r1aaaa", searched(knee=4.0))]))


def test_every_figure_names_its_run() -> None:
    search = searched(knee=3.0)
    text = markdown(known([Measured("r1aaaa", search, {"ttft": 0.5}), Measured("r2bbbb")]))
    assert "**SLO:** ttft 500 ms (run `r1aaaa`" in text
    assert "(run `r1aaaa`, 2026-09-21; random, 64 tokens in, 32 out)" in text
    assert "**Knee:** 3 req/s (run `r1aaaa`" in text
    assert "| `r2bbbb` | 2026-09-21 | 4 req/s | 3.9 | not measured | 120 ms / not measured | not measured | 2 |" in text
    assert "other processes used 1.2" in text
    assert "One of it carries 4 req/s within the SLO (run `r1aaaa`)" in text
    assert "The last start took 42 s" in text
    assert "slo: {ttft: 250ms}" in markdown(known([Measured("r2bbbb", slo={"ttft": 0.25})]))


def test_a_start_is_told_with_the_run_that_saw_it() -> None:
    attached = Measured("r1aaaa")
    del attached.header["ready_after"]
    assert "took 42 s until it was ready (run `r2bbbb`)" in markdown(known([attached, Measured("r2bbbb")]))


def test_a_cell_whose_secrets_are_left_out_is_not_said_to_run_as_it_stands() -> None:
    assert "run the cell above as it stands" in markdown(known([]))
    hidden = known([])
    hidden.record.spec["env"] = {"HF_TOKEN": "***"}
    assert "with the secrets in place of `***`" in markdown(hidden)


def test_every_alert_and_every_failure_of_the_engine_is_in_it() -> None:
    text = markdown(known([]))
    for alert in of_engine("vllm"):
        assert f"### {alert.name} " in text
        assert all(step in text for step in alert.todo)
        assert alert.cell.replace("{server}", "qwen") in text
    rows = [line for line in text.splitlines() if line.startswith("| `") and "Cause" not in line]
    assert len(rows) == len(engines.get("vllm").failures)
    assert all(len(re.split(r"(?<!\\)\|", line)) == 5 for line in rows)  # no bar of a pattern breaks the table


def test_commands_of_the_cluster_come_with_its_namespace() -> None:
    here, there = markdown(known([])), markdown(known([], "llm"))
    assert "kubectl" not in here[: here.index("## Diagnosis")]
    assert "llm-magics stop qwen" in here
    assert "kubectl rollout undo --namespace llm deployment/qwen" in there
    assert "kubectl logs --namespace llm deployment/qwen --previous" in there


def test_it_is_written_and_noted(tmp_path: Path) -> None:
    text = runbook("qwen", out=tmp_path / "r.md")
    assert (tmp_path / "r.md").read_text() == text
    assert "***" in text
    deed = Journal().deeds()[-1]
    assert (deed.kind, deed.facts["written"], deed.facts["runs"]) == ("runbook", True, 0)
    with pytest.raises(SpecError, match="cannot be written"):
        runbook("qwen", out=tmp_path / "no" / "r.md")


def test_of_a_server_that_nobody_served_there_is_none() -> None:
    with pytest.raises(SpecError, match="no server 'nobody'") as refused:
        runbook("nobody")
    assert "%serve nobody" in refused.value.then
