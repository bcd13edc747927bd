"""What is measured, logged to an experiment tracker as well; what the tracker refuses costs no measurement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_magics.results.run import Run
    from llm_magics.results.sweep import Sweep


def tracked(measure: Callable[[], Run | Sweep], experiment: str | bool) -> Run | Sweep:
    """Measure, and log each run to MLflow; a run that could not be logged says so among its flags.

    Parameters
    ----------
    experiment
        Its name; True or "" for the usual one (see `mlflow_log.log`).

    Raises
    ------
    SpecError
        When MLflow is not installed or does not answer: before anything is measured.
    """
    from llm_magics.results import mlflow_log
    from llm_magics.results.sweep import Sweep

    name = mlflow_log.ready(experiment if isinstance(experiment, str) and experiment else None)
    found = measure()
    for run in found.runs.values() if isinstance(found, Sweep) else [found]:
        try:
            run.header["mlflow"] = mlflow_log.log(run, name)
        except SpecError as error:
            run.flags.append(f"not logged to MLflow: {error.why or error.what}")
    return found
