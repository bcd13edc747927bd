"""The routes of runs, tasks, GPUs and adapters."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "unit" / "results"))

from synthetic import synthetic_run

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
    status, found = await ask(f"runs/{run.id}", request_timeout=90)
    assert status == 200
    assert found["id"] == run.id
    assert found["data"]["application/vnd.plotly.v1+json"]["data"]
    assert "<b>run</b>" not in found["data"]["text/html"]
    assert (await ask("runs/nothing"))[0] == 404
    assert (await ask("runs/..%2F..%2Fetc"))[0] == 404


async def test_without_a_gpu_the_list_is_empty(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert await ask("gpus") == (200, {"gpus": []})


async def test_engines_that_could_be_started(ask: Any) -> None:
    _, found = await ask("adapters")
    assert {"llamacpp", "vllm"} <= {each["key"] for each in found["adapters"]}
    assert all(set(each) == {"key", "title", "install"} for each in found["adapters"])
