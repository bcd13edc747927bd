"""The routes of runs, tasks, GPUs and adapters."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "unit" / "results"))

from synthetic import synthetic_run

from llm_magics import learn
from llm_magics.results.store import RunStore


async def test_runs_are_listed_newest_first_and_bounded(ask: Any, jp_serverapp: Any) -> None:
    for number in range(3):
        RunStore().save(synthetic_run(name=f"run{number}", header={"started": 1_790_000_000.0 + number}))
    _, found = await ask("runs", params={"limit": 2})
    assert [run["name"] for run in found["runs"]] == ["run2", "run1"]
    assert (await ask("runs", params={"limit": 0}))[0] == 400


async def test_a_run_is_drawn_as_a_notebook_would(ask: Any, jp_serverapp: Any) -> None:
    run = synthetic_run(name="<b>run</b>")
    RunStore().save(run)
    status, found = await ask(f"runs/{run.id}")
    assert status == 200
    assert found["id"] == run.id
    assert found["data"]["application/vnd.plotly.v1+json"]["data"]
    assert "<b>run</b>" not in found["data"]["text/html"]
    assert (await ask("runs/nothing"))[0] == 404
    assert (await ask("runs/..%2F..%2Fetc"))[0] == 404


@pytest.mark.parametrize("asked", ["png", "svg", "jpeg"])
async def test_pictures_that_are_asked_for_in_notebooks_are_none_of_the_sidebars(
    ask: Any, jp_serverapp: Any, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    """A PNG would be drawn by a browser that the server starts; and a word that is wrong is no reason not to draw."""
    monkeypatch.setenv("LLM_MAGICS_PICTURES", asked)
    monkeypatch.setattr("llm_magics.views.still._png", lambda _: "drawn")
    run = synthetic_run()
    RunStore().save(run)
    status, found = await ask(f"runs/{run.id}")
    assert status == 200
    assert set(found["data"]) == {"application/vnd.plotly.v1+json", "text/html", "text/plain"}


async def test_without_a_gpu_the_list_is_empty(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert await ask("gpus") == (200, {"gpus": []})


async def test_engines_that_could_be_started(ask: Any) -> None:
    _, found = await ask("adapters")
    assert {"llamacpp", "vllm"} <= {each["key"] for each in found["adapters"]}
    assert all(set(each) == {"key", "title", "install"} for each in found["adapters"])


def tasks_of(found: Any) -> dict[str, Any]:
    return {task["id"]: task for week in found["weeks"] for task in week["tasks"]}


async def test_the_path_is_told_with_what_is_missing(ask: Any) -> None:
    status, found = await ask("tasks")
    assert status == 200
    tasks = tasks_of(found)
    assert tasks
    assert not any(task["done"] for task in tasks.values())
    assert all(task["missing"] for task in tasks.values() if not task["manual"])


async def test_a_task_that_can_be_seen_is_not_ticked_by_hand(ask: Any) -> None:
    tasks = tasks_of((await ask("tasks"))[1])
    for task in tasks.values():
        status, answer = await ask(f"tasks/{task['id']}", method="PUT", body='{"done": true}')
        if task["manual"]:
            assert tasks_of(answer)[task["id"]]["how"] == "manual"
            answer = (await ask(f"tasks/{task['id']}", method="PUT", body='{"done": false}'))[1]
            assert not tasks_of(answer)[task["id"]]["done"]
        else:
            assert status == 409
            assert "ticks itself" in answer["message"]
    for body in ("{}", '{"done": 1}', '{"done": true, "x": 1}', "[]"):
        assert (await ask(f"tasks/{task['id']}", method="PUT", body=body))[0] == 400
    assert (await ask("tasks/nothing", method="PUT", body='{"done": true}'))[0] == 404


@pytest.fixture
def task(jp_serverapp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A task with a notebook that is there."""
    found = next(task for task in tasks_of({"weeks": learn.overview()}).values() if task["notebook"])
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / found["notebook"]).write_text('{"cells": []}')
    monkeypatch.setattr("llm_magics.learn.notebooks.shipped", lambda: tmp_path / "shipped")
    return found


async def test_a_tasks_notebook_is_copied_into_the_users_folder_and_never_over_their_own(
    ask: Any, jp_root_dir: Path, task: dict[str, Any]
) -> None:
    (jp_root_dir / "sub folder").mkdir()
    for folder in ("", "sub folder"):
        status, answer = await ask(f"tasks/{task['id']}/notebook", method="POST", body=json.dumps({"folder": folder}))
        assert (status, answer) == (200, {"path": f"{folder}/{task['notebook']}".lstrip("/")})
        assert (jp_root_dir / answer["path"]).is_file()
    (jp_root_dir / task["notebook"]).write_text("mine")
    assert (await ask(f"tasks/{task['id']}/notebook", method="POST", body="{}"))[0] == 200
    assert (jp_root_dir / task["notebook"]).read_text() == "mine"


async def test_no_folder_outside_the_root_is_written(
    ask: Any, jp_root_dir: Path, tmp_path: Path, task: dict[str, Any]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (jp_root_dir / "link").symlink_to(outside)
    for folder in ("..", "../outside", "link", "a/../../outside", "\0", "nowhere", "/etc/../../outside"):
        status, _ = await ask(f"tasks/{task['id']}/notebook", method="POST", body=json.dumps({"folder": folder}))
        assert status in (400, 409), folder
    assert list(outside.iterdir()) == []
    for body in ('{"folder": 1}', '{"path": ""}', "[]"):
        assert (await ask(f"tasks/{task['id']}/notebook", method="POST", body=body))[0] == 400, body
