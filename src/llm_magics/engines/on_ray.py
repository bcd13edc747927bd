"""An engine's command on a node of a Ray cluster: what our client there is told so that it runs as here.

As with containers, only names of variables stand on the line; their values come through the client's environment. The
engine listens at the node's own address, because the notebook is on another machine: it must have a key.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from llm_magics.cluster import parcel, python
from llm_magics.engines.base import Command, Executable, Place
from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.cluster.placement import Placement
    from llm_magics.engines.base import Engine
    from llm_magics.spec.server import ServerSpec

MARGIN = 30.0  # s beyond the engine's grace: the way there and back, and the end of the client itself
_HUB = ("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE")
_MARK = "LLM_MAGICS_SERVER"


def gpus_wanted(engine: Engine, spec: ServerSpec) -> int | None:
    """GPUs to reserve; None: one where the cluster has any.

    Raises
    ------
    SpecError
        When GPUs are named by number: which ones is the cluster's to choose.
    """
    parallel = [spec.tensor_parallel_size, spec.pipeline_parallel_size, spec.data_parallel_size]
    count = 1
    for each in parallel:
        count *= each or 1
    if isinstance(spec.gpus, list):
        raise SpecError(
            "On a cluster Ray chooses the GPUs; they have no numbers there.",
            why=f"gpus: {', '.join(map(str, spec.gpus))}",
            then="gpus: auto, with tensor_parallel_size: N for N of them",
        )
    if spec.gpus == "none":
        return 0
    return count if spec.gpus == "auto" or engine.needs_gpu or any(parallel) else None


def paths_of(engine: Engine, spec: ServerSpec, model: str) -> list[str]:
    """Files of the user's that the node must see, at the same path."""
    named = [model, spec.tokenizer, *(spec.lora_modules or {}).values(), (spec.speculative or {}).get("model")]
    paths = [str(Path(each).expanduser().absolute()) for each in named if each and Path(each).expanduser().exists()]
    return [path for path in dict.fromkeys(paths) if not path.startswith(f"{parcel.ROOT}/")]


def check(spec: ServerSpec) -> None:
    """Refuse what cannot be meant together with a cluster.

    Raises
    ------
    SpecError
        For an image.
    """
    if spec.image:
        raise SpecError("image names a container's image.", then="add on: docker, podman or apptainer; or leave it out")


def command(engine: Engine, spec: ServerSpec, model: str, port: int, found: Placement) -> Command:
    """The client's command for a server on a placement.

    Raises
    ------
    SpecError
        As `Engine.command`; or when the engine has no key and would listen where others can reach it.
    """
    if engine.key_env is None and not found.loopback:
        raise SpecError(
            f"{engine.title} takes no API key, and on a cluster it would listen at {found.ip} for everybody there.",
            then="choose an engine that has one (llamacpp, vllm, sglang …), or serve it on this machine: on: local",
        )
    executable = Executable(found.version, found.python, found.binary, f"the node {found.ip}")
    _refuse_cpu_build(engine, executable, found)
    _refuse_replicas(engine, spec, found)
    # Which GPUs is said by Ray on the node, so here as if nothing had been said.
    place = Place(executable, found.ip, port, model, gpus=(), threads=found.cpus)
    made = engine.command(place, spec if spec.gpus == "none" else spec.model_copy(update={"gpus": None}))
    across = list(engine.across_nodes) if found.across else []
    argv = [*made.argv, *across]
    brought = [*parcel.carried(argv), *made.files]
    names = sorted({*made.env, *(key for key in _HUB if key in os.environ), _MARK,
                    *([engine.key_env] if engine.key_env else [])})  # fmt: skip
    client = python.command(
        "llm_magics.cluster.serving", "--on", found.on, "--node", found.node, "--host", found.ip, "--port", str(port),
        "--cpus", str(found.cpus), "--gpus", str(found.gpus), "--grace", f"{engine.grace:g}",
        *(["--across"] if found.across else []),
        *(word for path in brought for word in ("--carry", path)),
        *(word for name in names for word in ("--env", name)), "--", *argv,
    )  # fmt: skip
    return replace(
        made,
        argv=client,
        env={**made.env, **_client()},
        host=found.ip,
        node={"on": found.on, "ip": found.ip},
        margin=MARGIN,
    )


def _refuse_cpu_build(engine: Engine, executable: Executable, found: Placement) -> None:
    """Before a start that reserves GPUs and leaves them idle, or ends with `does not support ray`."""
    if executable.for_cpus and (found.gpus or found.across):
        raise SpecError(
            f"The node {found.ip} has GPUs for it, and {engine.title}'s build for CPUs.",
            why=f"{engine.title} {executable.version}: {executable.python or executable.binary}",
            then="install the build for GPUs there, name another (--python PATH on the node), or gpus: none",
        )


def _refuse_replicas(engine: Engine, spec: ServerSpec, found: Placement) -> None:
    """Data parallel ranks number the GPUs of the engine's own node (vllm/v1/engine/utils.py), which has too few."""
    said = any(each.startswith("--data-parallel-backend") for each in spec.args)
    if found.across and (spec.data_parallel_size or 1) > 1 and not said:
        raise SpecError(
            f"The {spec.data_parallel_size} replicas of data_parallel_size do not fit on one node.",
            why=f"{engine.title} starts all of them beside the server, unless its arguments say otherwise",
            then="serve one for each node, under names of their own; or args: [--data-parallel-backend, ray, "
            "--data-parallel-size-local, N], N of them on each node",
        )


def _client() -> dict[str, str]:
    """What Ray's own driver needs: where clusters of this machine leave their address, whatever TMPDIR says."""
    import tempfile

    return {"RAY_TMPDIR": os.environ.get("RAY_TMPDIR") or tempfile.gettempdir(), "RAY_USAGE_STATS_ENABLED": "0"}
