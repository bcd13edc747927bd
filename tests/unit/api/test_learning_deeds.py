"""What is done is noted by the door through which it is done, and noting never breaks it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "results"))

from synthetic import synthetic_run

import llm_magics
from llm_magics import paths
from llm_magics.api import compare, learning
from llm_magics.cli import main
from llm_magics.results.journal import Journal
from llm_magics.results.store import RunStore


def kinds() -> list[str]:
    return [deed.kind for deed in Journal().deeds()]


def test_a_comparison_of_runs_is_noted(tmp_path: Path) -> None:
    files = []
    for name in ("a", "b"):
        files.append(tmp_path / f"{name}.json")
        synthetic_run(run_id=f"r00000000{name}", name=name).save(files[-1])
    compare([str(each) for each in files])
    (deed,) = Journal().deeds()
    assert (deed.kind, deed.facts["load"], deed.facts["sides"]) == ("compared", True, 2)


def test_a_journal_that_cannot_be_written_disturbs_nothing() -> None:
    (paths.data_dir() / "runs.sqlite").write_text("no database " * 100)
    learning.note("served", {"engine": "vllm"})


@pytest.mark.parametrize(
    ("words", "kind"),
    [(["fit", "tiny", "--gpu", "H100"], "fitted"), (["recommend", "--priority", "ease"], "recommended")],
)
def test_advice_that_was_asked_for_is_noted(words: list[str], kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert kinds() == [kind]


def test_advice_is_noted_from_python_too() -> None:
    llm_magics.fit("tiny", gpu="H100")
    llm_magics.recommend(priority="ease")
    assert kinds() == ["fitted", "recommended"]


def test_learn_in_a_terminal(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["learn", "reading", "--tick"]) == 0
    assert main(["learn", "benchmark"]) == 0
    assert (tmp_path / "02-throughput-and-latency.ipynb").is_file()
    capsys.readouterr()
    assert main(["learn", "--json"]) == 0
    weeks = json.loads(capsys.readouterr().out)
    done = [task["id"] for week in weeks for task in week["tasks"] if task["done"]]
    assert done == ["reading"]
    assert main(["learn", "reading", "--untick"]) == 0
    assert main(["learn", "benchmark", "--tick"]) == 2
    assert main(["learn", "--tick"]) == 2
    assert "%" not in capsys.readouterr().out


def test_a_report_in_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    run = synthetic_run()
    RunStore().save(run)
    assert main(["report", run.id, "--question", "Why?"]) == 0
    assert capsys.readouterr().out.startswith("### Why?")
    assert kinds() == ["benched", "reported"]
