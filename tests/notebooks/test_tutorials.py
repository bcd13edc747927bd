"""The tutorials as files: exercises that can be failed, outputs that are small and hold nothing of a machine.

nbval runs them (`make test`); this reads what is saved, so it needs no engine.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from llm_magics.learn import check, path
from llm_magics.learn.exercise import WrongAnswerError

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
NUMBERED = [each for each in NOTEBOOKS if not each.name.startswith("00")]


def cells(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text("utf-8"))["cells"]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


EXERCISES = [
    pytest.param(cell, id=f"{path.stem}-{number}")
    for path in NUMBERED
    for number, cell in enumerate(cells(path))
    if "llm_magics" in cell["metadata"]
]


def answered(cell: dict[str, Any], answer: str) -> None:
    """Run an exercise with an answer, on stand-ins for what the cells above it measured."""
    exercise, text = cell["metadata"]["llm_magics"], source(cell)
    assert text.count("my_answer = ...") == 1
    names: dict[str, Any] = {"check": check}
    exec(exercise["given"], names)  # noqa: S102 - our own notebook's own metadata
    exec(text.replace("my_answer = ...", f"my_answer = {answer}"), names)  # noqa: S102


def test_no_exercise_goes_unchecked() -> None:
    """One without `right` and `wrong` would be left out of the three tests below without a word."""
    asked = [cell for path in NOTEBOOKS for cell in cells(path) if "my_answer = ..." in source(cell)]
    assert len(asked) == len(EXERCISES) > len(NUMBERED)


@pytest.mark.parametrize("cell", EXERCISES)
def test_an_exercise_passes_the_right_answer(cell: dict[str, Any]) -> None:
    answered(cell, cell["metadata"]["llm_magics"]["right"])


@pytest.mark.parametrize("cell", EXERCISES)
def test_an_exercise_fails_every_wrong_answer(cell: dict[str, Any]) -> None:
    assert len(cell["metadata"]["llm_magics"]["wrong"]) >= 2
    for answer in cell["metadata"]["llm_magics"]["wrong"]:
        with pytest.raises(WrongAnswerError):
            answered(cell, answer)


@pytest.mark.parametrize("cell", EXERCISES)
def test_an_exercise_that_nobody_did_is_no_failure(cell: dict[str, Any]) -> None:
    answered(cell, "...")


@pytest.mark.parametrize("notebook", NUMBERED, ids=lambda each: each.stem)
def test_a_tutorial_has_all_its_parts(notebook: Path) -> None:
    all_cells = cells(notebook)
    texts = "\n".join(source(cell) for cell in all_cells if cell["cell_type"] == "markdown")
    assert 10 <= len(all_cells) <= 25
    assert "**Question.**" in texts
    assert re.search(r"[Pp]redict", texts)
    assert "## Exercise" in texts or "Did it stay?" in texts
    assert any("llm_magics" in cell["metadata"] for cell in all_cells)
    assert "https://" in texts
    assert "gpu" in "".join(source(cell) for cell in all_cells if cell["cell_type"] == "code") or "13" in notebook.name


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda each: each.stem)
def test_the_last_cell_proves_that_magics_ran_and_nothing_runs(notebook: Path) -> None:
    last = cells(notebook)[-1]
    assert 'magics_manager.magics["cell"]' in source(last)
    assert "llm_magics.servers(mine=True)" in source(last)
    assert "--all" not in "".join(source(cell) for cell in cells(notebook)), "others' servers are theirs"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda each: each.stem)
def test_saved_outputs_are_real_small_and_of_no_machine(notebook: Path) -> None:
    text = notebook.read_text("utf-8")
    assert len(text.encode()) < 300_000
    assert not re.search(r"/(?:root|home|work|tmp|Users)/\w", text)
    code = [cell for cell in cells(notebook) if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in code)
    assert not [out for cell in code for out in cell["outputs"] if out["output_type"] == "error"]
    assert not [out for cell in code for out in cell["outputs"] if "UsageError" in "".join(out.get("text", ""))]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda each: each.stem)
def test_links_between_tutorials_lead_somewhere(notebook: Path) -> None:
    for target in re.findall(r"\]\(([\w-]+\.ipynb)\)", notebook.read_text("utf-8")):
        assert (EXAMPLES / target).exists(), target


def test_every_task_with_a_notebook_is_named_in_it() -> None:
    for task in path.tasks():
        if task.notebook:
            assert f"`{task.id}`" in (EXAMPLES / task.notebook).read_text("utf-8").replace(r"\"", '"') or (
                f"learn {task.id}" in (EXAMPLES / task.notebook).read_text("utf-8")
            ), task.id
