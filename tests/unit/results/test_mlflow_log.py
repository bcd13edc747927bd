"""If these fail, a run that was to be logged is not, or is logged as something else.

The stand-in takes MLflow's calls with the names of its parameters (3.17); where MLflow is installed, the stand-in is
held against it and a run is logged for real, to a local store.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import types
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from synthetic import synthetic_run

from llm_magics.api import tracking
from llm_magics.errors import SpecError
from llm_magics.results import mlflow_log
from llm_magics.results.run import Run


class MlflowException(Exception):  # noqa: N818 - its name
    """MLflow's own error."""


class Client:
    """What of `mlflow.MlflowClient` is used, remembering what it was told."""

    told: SimpleNamespace

    def get_experiment_by_name(self, name: str) -> Any:
        if self.told.down:
            raise MlflowException("the store is down\nand more")
        place = self.told.experiments.get(name)
        return None if place is None else SimpleNamespace(experiment_id=place)

    def create_experiment(self, name: str) -> str:
        self.told.experiments[name] = str(len(self.told.experiments) + 1)
        return str(self.told.experiments[name])

    def create_run(self, experiment_id: str, start_time: int, tags: dict[str, str], run_name: str) -> Any:
        self.told.run = SimpleNamespace(place=experiment_id, began=start_time, tags=tags, name=run_name)
        return SimpleNamespace(info=SimpleNamespace(run_id="m1"))

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = ()) -> None:
        assert run_id == "m1"
        assert len(metrics) <= 1000
        assert len(params) <= 100
        if self.told.full:
            raise MlflowException("the disk is full")
        self.told.metrics += metrics
        self.told.params.update(params)

    def log_artifacts(self, run_id: str, local_dir: str) -> None:
        self.told.files = {each.name: each.read_bytes() for each in Path(local_dir).iterdir()}

    def set_terminated(self, run_id: str, status: str, end_time: int) -> None:
        self.told.ended = status, end_time


class Param(tuple):
    """`mlflow.entities.Param`."""

    __slots__ = ()

    def __new__(cls, key: str, value: str) -> Param:
        assert len(value) <= 500
        return super().__new__(cls, (key, value))


class Metric(SimpleNamespace):
    """`mlflow.entities.Metric`."""

    def __init__(self, key: str, value: float, timestamp: int, step: int) -> None:
        super().__init__(key=key, value=value, timestamp=timestamp, step=step)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A stand-in in MLflow's place."""
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    found = SimpleNamespace(experiments={}, metrics=[], params={}, down=False, full=False)
    Client.told = found
    entities = types.ModuleType("mlflow.entities")
    entities.__dict__.update(Param=Param, Metric=Metric)
    exceptions = types.ModuleType("mlflow.exceptions")
    exceptions.__dict__["MlflowException"] = MlflowException
    package = types.ModuleType("mlflow")
    package.__dict__.update(MlflowClient=Client, entities=entities, exceptions=exceptions)
    for module in (package, entities, exceptions):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return found


def measured() -> Run:
    spec = {"dtype": "float16", "args": ["--x", "y" * 900], "env": {"TOKEN": "secret"}, "speculative": {"method": "n"}}
    return synthetic_run(concurrency=[1, 4], requests=12, slo={"ttft": 0.05}, header={"spec": spec})


def test_params_say_what_was_asked_and_of_whom(told: SimpleNamespace) -> None:
    run = measured()
    assert run.log_mlflow("trials") == "m1"
    assert told.experiments == {"trials": "1"}
    wanted = {"engine": "vllm", "model": "tiny", "workload.input_tokens": "128", "spec.dtype": "float16"}
    assert wanted.items() <= told.params.items()
    assert (told.params["workload.slo.ttft"], told.params["spec.speculative.method"]) == ("0.05", "n")
    assert told.params["workload.concurrency"] == "[1, 4]"
    assert not any("secret" in value or value == "None" for value in told.params.values())
    assert told.run.tags["llm_magics.run"] == run.id
    assert told.run.began == int(run.started.timestamp() * 1000)


def test_each_point_is_a_step_with_its_figures(told: SimpleNamespace) -> None:
    run = measured()
    run.log_mlflow()
    assert told.experiments == {"llm-magics": "1"}
    for key in ("output_throughput", "p99_ttft_ms", "goodput"):
        said = [(each.step, each.value) for each in told.metrics if each.key == key]
        assert said == [(0, run.points[0][key]), (1, run.points[1][key])]
    assert not {"label", "point", "errors", "request_rate"} & {each.key for each in told.metrics}
    ends = sorted({each.timestamp for each in told.metrics})
    assert ends == [int((run.started.timestamp() + window.end) * 1000) for window in run.windows]
    assert told.ended == ("FINISHED", ends[-1])


def test_the_run_itself_goes_along(told: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    import llm_magics.views  # noqa: F401 - registers how a Run is drawn

    run = measured()
    run.log_mlflow()
    assert set(told.files) == {"run.json", "requests.csv", "report.html"}
    assert json.loads(told.files["run.json"])["header"]["run"] == run.id
    assert b"Plotly.newPlot" in told.files["report.html"]
    monkeypatch.setattr(Run, "renderer", None)
    run.log_mlflow()
    assert set(told.files) == {"run.json", "requests.csv"}


def test_what_a_user_sets_in_secret_is_in_no_file_either(told: SimpleNamespace) -> None:
    import llm_magics.views  # noqa: F401 - registers how a Run is drawn

    run = measured()
    run.header["workload"] = {**run.workload, "extra_body": {"session": "hush-hush"}}
    run.log_mlflow()
    assert "report.html" in told.files
    assert told.params["spec.env.TOKEN"] == told.params["workload.extra_body.session"] == "…"
    for name, content in told.files.items():
        assert b"hush-hush" not in content, name
        assert b"secret" not in content, name
    assert run.workload["extra_body"] == {"session": "hush-hush"}


def test_a_partial_run_is_no_finished_one(told: SimpleNamespace) -> None:
    synthetic_run(concurrency=[1], requests=5, status="cancelled").log_mlflow()
    assert told.ended[0] == "FAILED"
    assert told.run.tags["llm_magics.status"] == "cancelled"


def test_the_environments_experiment_is_taken(told: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    assert mlflow_log.ready() == "mine"
    assert mlflow_log.ready("other") == "other"
    assert told.experiments == {}  # nothing is made before there is something to log


def test_without_mlflow_the_install_is_named_before_anything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(SpecError, match="not installed") as caught:
        tracking.tracked(lambda: pytest.fail("it was measured"), True)
    assert caught.value.then == "pip install 'llm-magics[mlflow]'"


def test_a_store_that_does_not_answer_is_said_before_anything_is_measured(told: SimpleNamespace) -> None:
    told.down = True
    with pytest.raises(SpecError, match="could not log") as caught:
        tracking.tracked(lambda: pytest.fail("it was measured"), "x")
    assert "the store is down" in caught.value.why


def test_what_mlflow_refuses_costs_no_measurement(told: SimpleNamespace) -> None:
    run = measured()

    def measure() -> Run:
        told.full = True
        return run

    assert tracking.tracked(measure, "x") is run
    assert "not logged to MLflow: the disk is full" in run.flags
    assert "mlflow" not in run.header


def test_what_was_logged_is_in_the_runs_header(told: SimpleNamespace) -> None:
    run = measured()
    assert tracking.tracked(lambda: run, True).header["mlflow"] == "m1"
    assert not any("MLflow" in flag for flag in run.flags)


def test_mlflow_loads_only_when_it_is_asked_for() -> None:
    code = "import sys, llm_magics.api, llm_magics.views, llm_magics.results.mlflow_log; print('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_stand_in_takes_what_mlflow_takes() -> None:
    mlflow = pytest.importorskip("mlflow")
    for name, ours in inspect.getmembers(Client, inspect.isfunction):
        theirs = inspect.signature(getattr(mlflow.MlflowClient, name)).parameters
        assert set(inspect.signature(ours).parameters) <= set(theirs), name
    for ours_, theirs_ in ((Param.__new__, mlflow.entities.Param), (Metric, mlflow.entities.Metric)):
        wanted = [name for name in inspect.signature(ours_).parameters if name != "cls"]
        assert list(inspect.signature(theirs_).parameters)[: len(wanted)] == wanted


def test_a_run_is_logged_for_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    monkeypatch.chdir(tmp_path)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    try:
        run = measured()
        logged = run.log_mlflow("trials")
        client = mlflow.MlflowClient()
        found = client.get_run(logged)
        assert found.info.status == "FINISHED"
        assert found.data.params["workload.input_tokens"] == "128"
        history = client.get_metric_history(logged, "output_throughput")
        assert [(each.step, each.value) for each in history] == [
            (place, point["output_throughput"]) for place, point in enumerate(run.points)
        ]
        place = client.download_artifacts(logged, "run.json", str(tmp_path))
        assert Run.load(place).points == run.points
        assert mlflow.active_run() is None
    finally:
        mlflow.set_tracking_uri(before)
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ
