"""What is known of a server, gathered for its runbook: spec, measured limits, alerts, diagnoses."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_magics.engines.base import Engine
    from llm_magics.results.run import Run
    from llm_magics.runtime.record import Record
    from llm_magics.views.runbook import Earlier

_EARLIER = 3  # settings to go back to
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
    from llm_magics.monitor import alerts
    from llm_magics.monitor.home import Home
    from llm_magics.views.runbook import Known, markdown

    record, monitor = _record(name), Home().state()
    engine, runs = engines.get(record.engine), _runs(name)
    text = markdown(
        Known(
            record=record,
            title=engine.title,
            ready=engine.ready_path,
            runs=runs,
            alerts=alerts.of_engine(record.engine),
            failures=(*engine.failures, *COMMON_FAILURES),
            namespace=namespace,
            deployed=dns(name),
            sleeps=engine.sleep is not None,
            gpu=bool(namespace) or _may_have_gpu(record),
            earlier=_earlier(record, engine, runs),
            undeployable="" if namespace else _undeployable(name),
            limits=alerts.with_units(monitor.limits if monitor else alerts.settled({})),
            hold=monitor.hold if monitor else None,
            monitored=monitor is not None,
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
    from llm_magics.runtime.unknown import no_server

    registry = Registry()
    record = registry.get(name)
    if record is None:
        then = f"serve it first (`%serve {name} …`): a runbook says how it was started"
        raise no_server(name, registry, then=then)
    return record


def _may_have_gpu(record: Record) -> bool:
    """A server on a node of a cluster may; one of this machine where there is one that it was not kept from."""
    from llm_magics.engines import hardware

    return bool(record.gpus or record.node) or (hardware.has_gpu() and record.spec.get("gpus") != "none")


def _earlier(record: Record, engine: Engine, runs: list[Run]) -> list[Earlier]:
    """The settings and versions that ran under this name and are not the present ones, newest first."""
    from llm_magics.views.runbook import Earlier

    found: list[Earlier] = []
    seen = [(record.spec, record.engine_version)]
    for run in runs:
        spec, version = run.header.get("spec"), str(run.header.get("engine_version") or "")
        if not isinstance(spec, dict) or run.header.get("engine") != record.engine or (spec, version) in seen:
            continue
        seen.append((spec, version))
        other = version and version != record.engine_version
        found.append(Earlier(spec, version, run, _installs(engine, spec, version) if other else ""))
    return found[:_EARLIER]


def _installs(engine: Engine, spec: Mapping[str, Any], version: str) -> str:
    """What brings a version of an engine back to where it is looked for first."""
    from llm_magics.engines import environments

    if spec.get("on", "local") != "local":
        return f"# the image of {version} is named by --image NAME:TAG below"
    if spec.get("python") or spec.get("bin"):
        return f"# put {engine.title} {version} back to {spec.get('python') or spec.get('bin')}"
    here = environments.locate(engine)
    if here is not None and here.python and here.origin == environments.KERNELS:
        own = engine.install.distributions[0]
        return f"{shlex.quote(here.python)} -m pip install {own}=={version}"
    if engine.install.gpu or engine.install.cpu:
        return f"llm-magics install {engine.key}=={version}"
    return f"# install {engine.title} {version}: {environments.by_hand(engine)}"


def _undeployable(name: str) -> str:
    """What `deploy` says when it refuses this server; "" when it does not."""
    from llm_magics.api.deploying import spec_of, written
    from llm_magics.spec.deployment import Deployment

    try:
        written(spec_of(name, {}), Deployment(max_replicas=2))
    except SpecError as error:
        return " ".join(f"{each.rstrip('.')}." for each in (error.what, error.why, error.then) if each)
    return ""


def _runs(name: str) -> list[Run]:
    """The runs of a server, newest first, whole ones only; a run of its deployment counts by the deployment's name."""
    from llm_magics.deployment.pod import dns
    from llm_magics.results.store import RunStore

    store = RunStore()
    names: set[Any] = {name, dns(name)}
    rows = [row for row in store.list(_RUNS) if row.status == "complete" and row.name.rpartition("/")[2] in names]
    return [store.get(row.id) for row in rows]
