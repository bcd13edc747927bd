"""Finished runs beside each other, another tool's among them: each is named, and what both know is shown."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "results"))

import pytest
from synthetic import synthetic_run

from llm_magics.api import compare, runs
from llm_magics.errors import SpecError
from llm_magics.results.run import Run
from llm_magics.results.store import RunStore
from llm_magics.views import comparison_table
from llm_magics.views.table import Cell

THEIRS = str(Path(__file__).parents[1] / "results" / "vllm_bench_serve.json")  # of a model that is called tiny too
OTHERS = THEIRS.replace("vllm_bench_serve", "guidellm_benchmarks")


def ours(name: str = "tiny") -> Run:
    return synthetic_run(name=name, concurrency=[4], requests=60)


def test_another_tools_run_is_named_after_the_tool() -> None:
    labels = compare([ours(), THEIRS, OTHERS, THEIRS]).labels
    assert labels[:3] == ["tiny", "tiny (vllm bench serve)", "tiny (guidellm)"]
    assert labels[3].startswith("tiny (r"), "a second one of a tool has its id"


def test_files_may_lie_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    ours().save(tmp_path / "mine.json")
    assert compare(["~/mine.json", THEIRS]).labels == ["tiny", "tiny (vllm bench serve)"]


def test_what_both_sides_know_is_shown() -> None:
    found = compare([ours(), THEIRS])
    assert found.throughput == "output_throughput", "summaries know no steady part"
    table = comparison_table.comparison(found)
    output = [column.title for column in table.columns].index("Output")
    cells = [cell.text if isinstance(cell, Cell) else cell for cell in (row[output] for row in table.rows)]
    assert len(cells) == 2
    assert all(cell[0].isdigit() for cell in cells), "the verdict speaks of it"
    assert "<b>Output throughput</b>'" in str(found.figure.to_dict())


def test_of_runs_of_ours_the_steady_part_is_shown() -> None:
    found = compare([ours("a"), ours("b")])
    assert found.labels == ["a", "b"]
    assert found.throughput == "steady_output_throughput"
    assert "<b>Output throughput</b>  steady" in str(found.figure.to_dict())


def test_rows_of_the_list_of_runs_are_runs() -> None:
    for name in ("a", "b"):
        RunStore().save(ours(name))
    assert sorted(compare(runs()).labels) == ["a", "b"]


def test_one_run_is_no_two_sides() -> None:
    run = ours()
    with pytest.raises(SpecError, match="stands twice"):
        compare([run, run])
