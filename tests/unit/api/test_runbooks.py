"""A runbook says what was measured and by which run, and of the rest that nobody measured it."""

from __future__ import annotations

import re
import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm_magics import engines, lines
from llm_magics.api.deploying import spec_of
from llm_magics.api.runbooks import runbook
from llm_magics.engines.common_failures import COMMON_FAILURES
from llm_magics.errors import SpecError
from llm_magics.monitor.alerts import of_engine, settled
from llm_magics.monitor.home import Home, State
from llm_magics.results.journal import Journal
from llm_magics.results.probe import Probe
from llm_magics.results.search import Search
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry
from llm_magics.spec.typed import in_terminal
from llm_magics.views.runbook import Earlier, Known, markdown


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
    assert limits.count("llm-magics bench qwen --") == 4
    assert "--search slo" in limits
    assert not re.search(r"\d+(\.\d+)? (req/s|tokens/s|ms\b)", limits.replace("500ms", "").replace("50ms", ""))
    assert "How long a start takes: not measured" in text


def searched(knee: float) -> Search:
    probes = [Probe(load, 20) for load in (3.0, 4.0, 5.0)]
    return Search("slo", "rate", 0.95, {"ttft": 0.5}, 60.0, 4.0, 5.0, True, 0.9, 1.0, knee, "found", 55.0, probes)


def test_a_knee_at_the_end_of_what_was_tried_is_no_knee_yet() -> None:
    assert "it may lie higher" in markdown(known([Measured("r1aaaa", searched(knee=5.0))]))
    assert "more waiting than work" in markdown(known([Measured("r1aaaa", searched(knee=4.0))]))


def test_a_knee_below_loads_that_left_requests_unanswered_says_so() -> None:
    search = searched(knee=4.0)
    cut = replace(search, probes=[*search.probes[:-1], replace(search.probes[-1], unanswered=3)])
    text = markdown(known([Measured("r1aaaa", cut)]))
    assert "**Knee:** 4 req/s" in text
    assert "the highest load whose requests were all answered; 5 req/s left some unanswered" in text


def test_every_figure_names_its_run() -> None:
    search = searched(knee=3.0)
    text = markdown(known([Measured("r1aaaa", search, {"ttft": 0.5}), Measured("r2bbbb")]))
    assert "**SLO:** ttft 500ms (run `r1aaaa`" in text
    assert "(run `r1aaaa`, 2026-09-21; random, 64 tokens in, 32 out)" in text
    assert "**Knee:** 3 req/s (run `r1aaaa`" in text
    assert "| `r2bbbb` | 2026-09-21 | 4 req/s | 3.9 | not measured | 120 ms / not measured | not measured | 2 |" in text
    assert "- Run `r2bbbb`: at 4 req/s: other processes used 1.2" in text
    assert "One of it carries 4 req/s within the SLO (run `r1aaaa`)" in text
    assert "The last start took 42 s" in text
    assert "--slo ttft=250ms " in markdown(known([Measured("r2bbbb", slo={"ttft": 0.25})]))


def test_a_start_is_told_with_the_run_that_saw_it() -> None:
    attached = Measured("r1aaaa")
    del attached.header["ready_after"]
    assert "took 42 s until it was ready (run `r2bbbb`)" in markdown(known([attached, Measured("r2bbbb")]))


def test_the_start_is_a_command_of_a_terminal_that_asks_for_the_same_server() -> None:
    hidden = known([])
    hidden.record.spec["env"] = {"HF_TOKEN": "***", "A": "b c"}
    text = markdown(hidden)
    line = next(each for each in text.splitlines() if each.startswith("llm-magics serve qwen "))
    assert text.count(line) == 2  # how it was started, and to start it again
    words = shlex.split(line.replace('"$HF_TOKEN"', "'***'"))
    asked = lines.given(lines.serve("llm-magics").read(words[2:]), "name", "dry_run", "no_wait", "replace", "force")
    assert asked.pop("keep") == "detached"
    assert spec_of("qwen", asked).identity == {**hidden.record.spec, "gpus": "auto"}
    assert "set HF_TOKEN in the shell first" in text
    assert "set HF_TOKEN" not in markdown(known([]))


def test_everything_but_one_cell_is_for_a_terminal() -> None:
    text = markdown(known([]))
    assert text.count("%%") == 1
    assert not re.search(r"(?<!%)%(llm|serve|bench)", text)


def test_the_way_back_is_the_setting_and_the_version_that_ran_before() -> None:
    run = Measured("r2bbbb")
    before = Earlier({**record().spec, "max_model_len": 2048}, "0.32.0", run, "llm-magics install vllm==0.32.0")
    text = markdown(replace(known([run]), earlier=[before]))
    back = text[text.index("Roll back to") : text.index("## Scale")]
    assert "what ran with version 0.32.0, max_model_len 2048 (run `r2bbbb`" in back
    order = [back.index(each) for each in ("llm-magics stop qwen", "install vllm==0.32.0", "--max-model-len 2048")]
    assert order == sorted(order)
    assert "none is known" in markdown(known([]))


def test_every_alert_and_every_failure_of_the_engine_is_in_it_in_readable_words() -> None:
    text = markdown(known([]))
    for alert in of_engine("vllm"):
        assert f"### {alert.name} " in text
        assert in_terminal(alert.cell.replace("{server}", "qwen")) in text
    rows = [line for line in text.splitlines() if line.startswith("| `") and "Cause" not in line]
    rows = [line for line in rows if not re.match(r"\| `r\w{5}` ", line)]
    assert len(rows) == len(engines.get("vllm").failures)
    assert all(len(re.split(r"(?<!\\)\|", line)) == 5 for line in rows)
    assert not re.search(r"\\[dSsw(.]|\{\d\}|\{\{", "".join(rows))


def test_an_alert_says_its_limit_whose_it_is_and_what_the_slo_would_have() -> None:
    asked = replace(known([Measured("r1aaaa", slo={"ttft": 0.25, "e2e": 9.0})]), limits={
        "ttft": (2.0, "s"), "kv": (0.95, "share"), "preemptions": (0.1, "1/s"), "queue": (4, "requests"),
    })  # fmt: skip
    text = markdown(asked)
    assert "The limits are the defaults, for no monitor runs here." in text
    assert "### TtftOverSlo (critical, limit ttft 2s, after 60 s)" in text
    assert "### KvCacheFull (warning, limit kv 95 %, after 120 s)" in text
    assert "### Preemptions (warning, limit preemptions 0.1/s, after 60 s)" in text
    assert "### QueueGrowing (warning, limit queue 4 requests, after 60 s)" in text
    assert "### ServerDown (critical, after 15 s)" in text
    assert "The SLO asks for others (run `r1aaaa`, 2026-09-21)" in text
    assert "llm-magics monitor up --limits ttft=250ms\n" in text
    running = markdown(replace(asked, limits={"ttft": (0.25, "s")}, hold=10.0, monitored=True))
    assert "The limits are those of the monitor that runs." in running
    assert "### TtftOverSlo (critical, limit ttft 250ms, after 10 s)" in running
    assert "monitor up --limits" not in running


def test_what_an_alert_cannot_tell_of_an_engine_is_said() -> None:
    llama = replace(known([]), record=replace(record(), engine="llamacpp"), alerts=of_engine("llamacpp"))
    assert "with them this cannot fire" in markdown(llama)
    assert "cannot fire" not in markdown(known([]))


def test_the_limits_are_those_of_the_monitor_that_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "limit ttft 2s," in runbook("qwen")
    state = State("i", {}, "", "", "", "local", {**settled({"ttft": "50ms"}), "of_later": 1.0}, 5.0, 3.0, 1.0, 1, 0.0)
    monkeypatch.setattr(Home, "state", lambda _self: state)
    assert "### TtftOverSlo (critical, limit ttft 50ms, after 3 s)" in runbook("qwen")


def test_what_is_about_gpus_is_left_out_of_a_server_that_has_none() -> None:
    with_gpu = replace(known([]), failures=(*engines.get("vllm").failures, *COMMON_FAILURES))
    assert "NCCL error" in markdown(with_gpu)
    assert "env: {NCCL_DEBUG: INFO}" in markdown(with_gpu)
    without = markdown(replace(with_gpu, gpu=False))
    assert not re.search("NCCL|CUDA|GpuMemoryFull|llm-magics gpus", without)
    assert "No space left on device" in without


def test_a_deployment_that_would_be_refused_is_not_recommended() -> None:
    assert "llm-magics deploy qwen" in markdown(known([]))
    refused = markdown(replace(known([]), undeployable="The pods cannot see the model: %llm fit says more."))
    assert "llm-magics deploy" not in refused
    assert "something first: The pods cannot see the model: llm-magics fit says more." in refused


def test_a_run_that_answered_nothing_is_said_to_have_failed() -> None:
    run = Measured("r3cccc")
    run.points = [{"label": "1 stream", "request_throughput": 0.0, "completed": 0, "failed": 8}]
    assert "| `r3cccc` | 2026-09-21 | 1 stream | no request was answered | | | | all 8 |" in markdown(known([run]))


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
