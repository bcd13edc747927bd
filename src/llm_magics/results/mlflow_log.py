"""A run in MLflow: what was asked and of whom as params, each point's figures as metrics, the run itself as artifacts.

Through MLflow's client and not its fluent interface: the notebook's active run and experiment stay what they are.
MLflow loads when it is asked for, never before.
"""

from __future__ import annotations

import math
import os
import re
import tempfile
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magics.errors import SpecError
from llm_magics.results.secrets import without_secrets

if TYPE_CHECKING:
    from llm_magics.results.run import Run

EXPERIMENT = "llm-magics"

_INSTALL = "pip install 'llm-magics[mlflow]'"
_KEY = re.compile(r"[^A-Za-z0-9_\-. /:]")
_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
_LONGEST = 500  # characters of a param; older servers refuse more
_PARAMS, _METRICS = 100, 1000  # that one call may hold
_PROVENANCE = (
    "engine",
    "engine_version",
    "model",
    "target",
    "command",
    "system",
    "cores",
    "gpu",
    "driver",
    "llm_magics",
)


def ready(experiment: str | None = None) -> str:
    """The name of the experiment that will be logged to; asked before a run is measured, so that nothing is in vain.

    Raises
    ------
    SpecError
        When MLflow is not installed, or its store does not answer.
    """
    client, _, errors = _client()
    name = experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    try:
        with _impatient():
            client.get_experiment_by_name(name)
    except errors as error:
        raise _refused(error) from error
    return name


def log(run: Run, experiment: str | None = None) -> str:
    """Log a run and return the id that MLflow gave it.

    Parameters
    ----------
    experiment
        Its name, made where it is not there; `MLFLOW_EXPERIMENT_NAME` or "llm-magics" when left out.

    Raises
    ------
    SpecError
        When MLflow is not installed, or refuses something.
    """
    name = ready(experiment)
    client, entities, errors = _client()
    run = copy(run)  # the files too: a tracker is read by more people than a notebook
    run.header = without_secrets(run.header)
    try:
        found = client.get_experiment_by_name(name)
        place = found.experiment_id if found is not None else client.create_experiment(name)
        began = int(run.started.timestamp() * 1000)
        tags = {"llm_magics.run": run.id, "llm_magics.status": run.status}
        made = client.create_run(place, start_time=began, tags=tags, run_name=run.label).info.run_id
        for some in _parts(_params(run), _PARAMS):
            client.log_batch(made, params=[entities.Param(key, value) for key, value in some])
        for figures in _parts(_metrics(run), _METRICS):
            client.log_batch(made, metrics=[entities.Metric(*each) for each in figures])
        with tempfile.TemporaryDirectory() as folder:
            _artifacts(run, Path(folder))
            client.log_artifacts(made, folder)
        client.set_terminated(made, status="FINISHED" if not run.partial else "FAILED", end_time=_end(run))
    except errors as error:
        raise _refused(error) from error
    return str(made)


def _client() -> tuple[Any, Any, tuple[type[Exception], ...]]:
    """MLflow's client, its entities, and what it raises."""
    try:
        from mlflow import MlflowClient, entities
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise SpecError("MLflow is not installed.", then=_INSTALL) from error
    errors = (MlflowException, OSError, ImportError)
    try:
        return MlflowClient(), entities, errors
    except errors as error:
        raise _refused(error) from error


@contextmanager
def _impatient() -> Iterator[None]:
    """MLflow tries a server that is not there for four minutes; two more tries show as much, unless told otherwise."""
    if _RETRIES in os.environ:
        yield
        return
    os.environ[_RETRIES] = "2"
    try:
        yield
    finally:
        del os.environ[_RETRIES]


def _refused(error: Exception) -> SpecError:
    if isinstance(error, ImportError):
        return SpecError("MLflow lacks something for its store.", why=str(error), then=_INSTALL)
    where = os.environ.get("MLFLOW_TRACKING_URI")
    then = f"MLFLOW_TRACKING_URI is {where}" if where else "set MLFLOW_TRACKING_URI, or `mlflow.set_tracking_uri(…)`"
    return SpecError("MLflow could not log the run.", why=textwrap.shorten(str(error), 300), then=then)


def _parts(values: Iterable[Any], most: int) -> Iterator[list[Any]]:
    left = iter(values)
    while part := list(islice(left, most)):
        yield part


def _params(run: Run) -> Iterator[tuple[str, str]]:
    """The workload, the server's settings and where it was measured; what was left out is left out here too."""
    spec = dict(run.header.get("spec") or {})
    seen: dict[str, Any] = {key: run.header.get(key) for key in _PROVENANCE}
    seen |= _flat("workload", run.workload) | _flat("spec", spec)
    for key, value in seen.items():
        if value not in (None, "", [], {}):
            yield _KEY.sub("_", key), str(value)[:_LONGEST]


def _flat(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(f"{name}.{key}", value) if isinstance(value, Mapping) else {f"{name}.{key}": value}
    return found


def _metrics(run: Run) -> Iterator[tuple[str, float, int, int]]:
    """Key, value, time (ms) and step of every figure that is a number; the step is the point's index."""
    for step, point in enumerate(run.points):
        at = _end(run, point.get("point", step))
        for key, value in point.items():
            known = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if known and key != "point":
                yield key, float(value), at, step


def _end(run: Run, point: int | None = None) -> int:
    """When the run, or one of its points, ended; ms since the epoch."""
    ends = [window.end for window in run.windows if point is None or window.point == point]
    return int((run.started.timestamp() + max(ends, default=0.0)) * 1000)


def _artifacts(run: Run, folder: Path) -> None:
    """`run.json` (but for secrets), `requests.csv` where there are any, `report.html` where results can be drawn."""
    run.save(folder / "run.json")
    if run.given is None:
        run.save(folder / "requests.csv")
    if run.renderer is not None:
        run.renderer.report(run, folder / "report.html")
