"""What is known of a server, gathered for its runbook: spec, measured limits, alerts, diagnoses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.results.run import Run
    from llm_magics.runtime.record import Record

_RUNS = 200  # the newest that are looked through


def runbook(name: str, *, out: str | Path | None = None, namespace: str | None = None) -> str:
    """A server's runbook as Markdown; every number in it was measured, and says by which run.

    Parameters
    ----------
    out
        A file to write it to.
    namespace
        Where it is deployed, for the commands of a cluster; without, those of this machine.

    Raises
    ------
    SpecError
        When no server of that name was served here, or the file cannot be written.
    """
    from llm_magics import engines
    from llm_magics.api.learning import note
    from llm_magics.deployment.pod import dns
    from llm_magics.engines.common_failures import COMMON_FAILURES
    from llm_magics.monitor.alerts import of_engine
    from llm_magics.views.runbook import Known, markdown

    record = _record(name)
    engine, runs = engines.get(record.engine), _runs(name)
    text = markdown(
        Known(
            record=record,
            title=engine.title,
            ready=engine.ready_path,
            runs=runs,
            alerts=of_engine(record.engine),
            failures=(*engine.failures, *COMMON_FAILURES),
            namespace=namespace,
            deployed=dns(name),
            sleeps=engine.sleep is not None,
        )
    )
    if out is not None:
        try:
            Path(out).expanduser().write_text(text, "utf-8")
        except OSError as error:
            raise SpecError(f"{out} cannot be written.", why=str(error), then="--out FILE somewhere else") from None
    note("runbook", {"engine": record.engine, "written": out is not None, "runs": len(runs)})
    return text


def _record(name: str) -> Record:
    from llm_magics.runtime.registry import Registry
    from llm_magics.spec.reading import nearest

    registry = Registry()
    record = registry.get(name)
    if record is None:
        known = [each.name for each in registry.list()]
        raise SpecError(
            f"There is no server {name!r}{nearest(name, known)}.", why=f"known: {', '.join(known) or 'none'}",
            then=f"serve it first (`%serve {name} …`): a runbook says how it was started",
        )  # fmt: skip
    return record


def _runs(name: str) -> list[Run]:
    """The runs of a server, newest first, whole ones only; a run of its deployment counts by the deployment's name."""
    from llm_magics.deployment.pod import dns
    from llm_magics.results.store import RunStore

    store = RunStore()
    names: set[Any] = {name, dns(name)}
    rows = [row for row in store.list(_RUNS) if row.status == "complete" and row.name.rpartition("/")[2] in names]
    return [store.get(row.id) for row in rows]
