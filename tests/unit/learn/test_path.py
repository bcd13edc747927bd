"""The path is what a learner follows: every task of the guide is on it, ticks by what was done and by nothing else."""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from llm_magics.errors import SpecError
from llm_magics.learn import notebooks, path, progress
from llm_magics.learn.evidence import Condition, met
from llm_magics.results.journal import Deed, Journal
from llm_magics.results.store import RunStore

GUIDE = [
    "Run vLLM with a 7B model", "Benchmark throughput and latency", "Experiment with batch sizes",
    "Try quantization (AWQ, GPTQ)", "Enable prefix caching", "Compare with TGI on same model",
    "Set up multi-GPU serving", "Deploy on Kubernetes", "Implement monitoring",
    "Build observability stack", "Set up alerting", "Document runbooks",
    "Follow engine releases", "Benchmark new models", "Contribute to open source",
]  # fmt: skip
CPU = ("gpu", "gpus", "tgi")
TINY = {"engine": "llamacpp", "model": "tiny", "billions": None, "status": "complete"}
BIG = {"engine": "vllm", "model": "Qwen2.5-7B-Instruct", "billions": 7.0, "status": "complete"}
SWEEP = {"points": 4, "levels": 4, "streams": 8, "completed": 96, "slo": True, "workload": "random"}

# Task -> deeds that tick its full form, deeds that do not (nearly the same), deeds that tick the lighter form.
EVIDENCE: dict[str, tuple[list[tuple[str, dict[str, Any]]], list[tuple[str, dict[str, Any]]], list[Any]]] = {
    "first-server": ([("served", BIG)], [("benched", BIG)], [("served", TINY)]),
    "benchmark": ([("benched", {**TINY, **SWEEP})], [("benched", {**TINY, **SWEEP, "points": 2})], []),
    "batch-sizes": (
        [("benched", {**TINY, **SWEEP, "max_num_seqs": 1}), ("benched", {**TINY, **SWEEP, "max_num_seqs": 8})],
        [("benched", {**TINY, **SWEEP, "max_num_seqs": 8}), ("benched", {**TINY, **SWEEP, "max_num_seqs": 8})],
        [],
    ),
    "quantization": (
        [("benched", {**BIG, "quantization": "awq"}), ("quality", {"model": "a"}), ("quality", {"model": "b"})],
        [("benched", {**BIG, "quantization": "none"}), ("quality", {"model": "a"}), ("quality", {"model": "a"})],
        [
            ("benched", {**TINY, "model": "a.gguf"}), ("benched", {**TINY, "model": "b.gguf"}),
            ("quality", {"model": "a"}), ("quality", {"model": "b"}),
        ],
    ),
    "prefix-caching": (
        [("benched", {"workload": "prefix", "enable_prefix_caching": each}) for each in (True, False)],
        [("benched", {"workload": "random", "enable_prefix_caching": each}) for each in (True, False)],
        [],
    ),
    "compare-engines": (
        [("compared", {"load": True, "engines": ["llamacpp", "vllm"], "engine_count": 2})],
        [("compared", {"load": False, "engines": ["llamacpp", "vllm"], "engine_count": 2})],
        [("compared", {"load": True, "engines": ["llamacpp", "transformers"], "engine_count": 2})],
    ),
    "ray": (
        [("served", {**TINY, "on": "ray"}), ("benched", {**TINY, "nodes": 2})],
        [("served", {**TINY, "on": "local"}), ("benched", {**TINY, "nodes": 1})],
        [],
    ),
    "multi-gpu": (
        [("benched", {**BIG, "gpus": 2})], [("benched", {**BIG, "gpus": 1})],
        [("benched", {"engine": "vllm", "tensor_parallel_size": 2})],
    ),
    "monitoring": (
        [("monitored", {"rules": 40}), ("scraped", {"targets": 1})],
        [("monitored", {"rules": 0}), ("scraped", {"targets": 1})],
        [],
    ),
    "observability": (
        [("looked", {"panels": 4}), ("dashboards", {"files": 8})],
        [("looked", {"panels": 0}), ("dashboards", {"files": 8})],
        [],
    ),
    "kubernetes": (
        [("manifested", {"to": "kubernetes", "engine": "vllm", "valid": True})],
        [("manifested", {"to": "kubernetes", "engine": "vllm", "valid": False})],
        [],
    ),
    "runbooks": (
        [("runbook", {"engine": "vllm", "written": True, "runs": 2})],
        [("runbook", {"engine": "vllm", "written": True, "runs": 0}), ("runbook", {"written": False, "runs": 3})],
        [],
    ),
    "alerting": (
        [("alerted", {"alert": "QueueGrowing", "state": each}) for each in ("firing", "resolved")],
        [("alerted", {"alert": "ServerDown", "state": each}) for each in ("firing", "resolved")],
        [],
    ),
    "follow-releases": ([("outdated", {})], [("recommended", {})], []),
    "new-model": ([("benched", {"model": "a"}), ("benched", {"model": "b"})], [("benched", {"model": "a"})] * 2, []),
    "contribute": ([("reported", {})], [("benched", TINY)], []),
    "kv-cache": ([("fitted", {})], [("served", TINY)], []),
    "speculative": ([("benched", {"speculative": "ngram"})], [("benched", {"speculative": ""})], []),
    "structured-output": ([("structured", {})], [("benched", TINY)], []),
    "decision": ([("recommended", {})], [("fitted", {})], []),
}  # fmt: skip


@pytest.fixture
def book(tmp_path: Path) -> Journal:
    return Journal(RunStore(tmp_path / "runs.sqlite"))


def state(book: Journal, task: str, lacks: tuple[str, ...] = ()) -> dict[str, Any]:
    weeks = progress.overview(lacks=lacks, journal=book)
    return next(each for week in weeks for each in week["tasks"] if each["id"] == task)


def note(book: Journal, deeds: list[tuple[str, dict[str, Any]]]) -> None:
    for number, (kind, facts) in enumerate(deeds):
        book.note(kind, facts, at=1000.0 + number)


def test_every_task_of_the_guide_is_on_the_path_in_its_order() -> None:
    assert [task.guide for task in path.tasks() if task.guide] == GUIDE
    assert [week.week for week in path.path()] == ["1-2", "3-4", "5-6", "7-8", "ongoing", "beside"]


def test_the_page_has_a_row_for_every_task_with_what_ticks_it() -> None:
    page = (notebooks.shipped().parent / "docs" / "learning_path.md").read_text("utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if "](../examples/" in line]
    stated = [(weeks, name.strip("`"), notebook) for weeks, _, name, notebook, *_ in rows]
    assert stated == [
        (week.week, task.id, f"[{task.notebook[:2]}](../examples/{task.notebook})")
        for week in path.path()
        for task in week.tasks
        if task.notebook
    ]
    assert len(stated) == len(path.tasks())
    assert [title for weeks, title, *_ in rows if weeks != "beside"] == GUIDE
    for _, _, name, _, ticks, lighter in rows:
        task = path.task(name.strip("`"))
        assert (ticks == "marked by hand") == task.manual, name
        assert ticks, name
        assert (lighter == "the same") == (not task.lighter), name


def test_every_task_has_a_way_to_be_done() -> None:
    assert set(EVIDENCE) == {task.id for task in path.tasks() if not task.manual}
    for task in path.tasks():
        assert task.why.endswith(".")
        assert task.notebook or task.today, task.id
        assert bool(task.lighter) == bool(task.lighter_ticks) == bool(task.needs), task.id


@pytest.mark.parametrize("task", EVIDENCE)
def test_a_task_ticks_when_it_was_done(task: str, book: Journal) -> None:
    assert not state(book, task)["done"]
    assert state(book, task)["missing"]
    note(book, EVIDENCE[task][0])
    now = state(book, task)
    assert (now["done"], now["how"], now["form"], now["missing"]) == (True, "measured", "full", [])
    assert now["done_at"].startswith("1970-01-01T00:16:4")


@pytest.mark.parametrize("task", EVIDENCE)
def test_a_task_does_not_tick_by_what_is_nearly_it(task: str, book: Journal) -> None:
    note(book, EVIDENCE[task][1])
    assert not state(book, task)["done"] or state(book, task)["form"] == "lighter"


@pytest.mark.parametrize("task", [name for name, each in EVIDENCE.items() if each[2]])
def test_the_lighter_form_ticks_and_says_so(task: str, book: Journal) -> None:
    before = state(book, task, CPU)
    assert before["cannot"]
    assert before["lighter"]
    assert before["missing"] == [each.says for each in path.task(task).lighter_ticks]
    note(book, EVIDENCE[task][2])
    assert state(book, task, CPU)["form"] == "lighter"


def test_a_run_that_was_broken_off_ticks_nothing(book: Journal) -> None:
    note(book, [(kind, {**facts, "status": "cancelled"}) for kind, facts in EVIDENCE["benchmark"][0]])
    assert not state(book, "benchmark")["done"]


def test_what_cannot_be_seen_is_marked_by_hand(book: Journal) -> None:
    assert state(book, "reading")["manual"]
    progress.tick("reading", journal=book)
    assert (state(book, "reading")["how"], state(book, "reading")["done"]) == ("manual", True)
    progress.tick("reading", False, journal=book)
    assert not state(book, "reading")["done"]


def test_what_ticks_itself_is_not_marked_by_hand(book: Journal) -> None:
    with pytest.raises(SpecError, match="ticks itself"):
        progress.tick("benchmark", journal=book)
    with pytest.raises(SpecError, match="did you mean 'benchmark'"):
        progress.tick("bencmark", journal=book)


def test_the_moment_is_that_of_the_last_condition() -> None:
    conditions = [Condition("a", "a"), Condition("b", "b", times=2)]
    deeds = [Deed("b", 1.0, {}), Deed("a", 2.0, {}), Deed("b", 3.0, {}), Deed("a", 9.0, {})]
    assert met(conditions, deeds) == 3.0
    assert met(conditions, deeds[:2]) is None
    assert met([], deeds) is None


def test_overview_is_plain_json(book: Journal) -> None:
    note(book, [each for deeds, _, _ in EVIDENCE.values() for each in deeds])
    weeks = progress.overview(journal=book)
    assert json.loads(json.dumps(weeks)) == weeks


def test_every_notebook_of_the_path_is_there_and_every_one_there_is_named() -> None:
    named = {task.notebook for task in path.tasks() if task.notebook}
    there = {each.name for each in notebooks.shipped().glob("*.ipynb")}
    assert named <= there
    assert there - named == {"00-quickstart.ipynb"}
    assert all(re.fullmatch(r"\d\d-[a-z0-9-]+\.ipynb", name) for name in there)


def test_a_copy_is_never_written_over(tmp_path: Path) -> None:
    first = notebooks.notebook("benchmark", tmp_path)
    assert json.loads(first.read_text())["cells"]
    first.write_text("my own notes")
    assert notebooks.notebook("2", tmp_path) == first
    assert first.read_text() == "my own notes"
    assert [each.name for each in tmp_path.iterdir()] == [first.name]


def test_a_disk_without_hard_links_gets_a_copy_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    first = notebooks.notebook("benchmark", tmp_path)
    assert json.loads(first.read_text())["cells"]
    first.write_text("my own notes")
    assert notebooks.notebook("2", tmp_path).read_text() == "my own notes"
    assert [each.name for each in tmp_path.iterdir()] == [first.name]


def test_a_notebook_that_cannot_be_copied_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(path, "task", lambda _: path.Task("later", "Later", "It will come."))
        with pytest.raises(SpecError, match="has no notebook yet"):
            notebooks.notebook("later", tmp_path)
    with pytest.raises(SpecError, match="cannot be written"):
        notebooks.notebook("benchmark", tmp_path / "no" / "folder")
