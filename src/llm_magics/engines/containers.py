"""An engine's command inside its container image: what docker, podman or apptainer is told so that it runs as here.

Only names of variables stand on the line, their values (the key, HF_TOKEN) come through the client's environment. The
port is published on the loopback interface alone, models are mounted for reading, GPUs are given by their numbers.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from llm_magics.engines import hardware, images
from llm_magics.engines.base import Command, Image, Place
from llm_magics.engines.images import INSIDE, is_local
from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.engines.base import Engine
    from llm_magics.spec.server import ServerSpec

# What the clients themselves need to find their daemon and their storage; the engine never sees it.
CLIENT = (
    "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "CONTAINER_HOST",
    "CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS",
    "APPTAINER_CACHEDIR", "APPTAINER_TMPDIR",
)  # fmt: skip
_HUB = ("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE")
_READ_BY_CLIENT = ("PATH", "HOME", "LD_LIBRARY_PATH", "LD_PRELOAD")
_PODMAN = ("--security-opt=label=disable",)  # SELinux would hide the mounted model from the container


def served_model(engine: Engine, spec: ServerSpec, model: str) -> str:
    """What a request puts in `model`, where the engine goes by the path that it sees."""
    mounts = _Mounts()
    seen = mounts.inside(model) if is_local(model) else model
    return engine.served_name(images.moved(spec, mounts), seen)


def command(engine: Engine, spec: ServerSpec, model: str, port: int, gpus: tuple[int, ...]) -> Command:
    """The client's command for a server that will answer on a port of this machine.

    Parameters
    ----------
    model
        As resolved on this machine.
    port, gpus
        Of this machine.

    Raises
    ------
    SpecError
        As `Engine.command`, or when a path cannot be mounted.
    """
    image, name, mounts = images.facts(engine, spec), images.image_name(engine, spec), _Mounts()
    tool, own_network = spec.on, spec.on == "apptainer"
    inside = Place(
        images.executable(engine, spec),
        host=spec.host if own_network else "0.0.0.0",  # noqa: S104 - inside; outside the port is on loopback only
        port=port if own_network else image.port,
        model=model,  # adapters look into it
        contained=not own_network,
    )
    made = images.contained(engine, spec, inside, mounts)
    argv = made.argv
    outer = engine.launcher(Place(inside.executable, spec.host, port, model), spec)
    env = dict(made.env)
    if not is_local(model) and image.hub:
        mounts.add(str(_hub()), image.hub if not own_network else f"{INSIDE}/hub", write=True)
        env["HF_HUB_CACHE"] = env["HUGGINGFACE_HUB_CACHE"] = image.hub if not own_network else f"{INSIDE}/hub"
    # The hub's own reach the client by `environment.allowed`, the key by the launch: here their names are enough.
    names = sorted({*env, *(key for key in _HUB if key in os.environ), *([engine.key_env] if engine.key_env else [])})
    container = None
    if own_network:
        client = _apptainer(image, name, argv, mounts, visible=spec.gpus != "none" and hardware.has_gpu())
        # It hands its whole environment on, and sees every GPU: which ones is said as on the machine itself.
        env |= engine.devices(Place(inside.executable, spec.host, port, model, gpus), spec)
    else:
        unique = f"llm-magics-{spec.name}-{secrets.token_hex(4)}"
        publish = f"[{spec.host}]" if ":" in spec.host else "127.0.0.1"
        volumes = {} if is_local(model) else image.volumes
        beside = engine.metrics.beside if engine.metrics else 0
        client = [
            tool, "run", "--rm", "--name", unique, *(["--init"] if tool == "docker" else _PODMAN),
            *_gpus(tool, spec, gpus), *image.options, f"--publish={publish}:{port}:{image.port}",
            *([f"--publish={publish}:{port + beside}:{image.port + beside}"] if beside else []),
            *mounts.options(), *(f"--volume={source}:{target}" for source, target in volumes.items()),
            *(f"--env={key}={env[key]}" if key in _READ_BY_CLIENT else f"--env={key}" for key in names),
            *([f"--entrypoint={argv[0]}"] if image.entry == "replace" else []),
            _qualified(name) if tool == "podman" else name, *(argv if image.entry == "" else argv[1:]),
        ]  # fmt: skip
        container = {"tool": tool, "name": unique}
    env = {key: value for key, value in env.items() if own_network or key not in _READ_BY_CLIENT}
    env |= {key: os.environ[key] for key in CLIENT if key in os.environ}
    return Command([*outer, *(["--"] if outer else []), *client], env, made.files, made.ready_path, container)


def prepare_mounts(model: str) -> None:
    """Make the folder of the hub's models, where a container will need it: the daemon would make it root's."""
    if not is_local(model):
        _hub().mkdir(parents=True, exist_ok=True)


class _Mounts:
    """Paths of this machine and where they are inside."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, bool]] = {}

    def inside(self, path: str) -> str:
        """Mount a path for reading, and say where it is inside."""
        source, rest = Path(path), ""
        if source.parent.name == "snapshots" and (source.parents[1] / "blobs").is_dir():
            # The hub's cache: a snapshot is links to the files beside it.
            source, rest = source.parents[1], f"/snapshots/{source.name}"
        target = f"{INSIDE}/{len(self._found)}/{source.name}"
        target = self._found.setdefault(str(source), (target, False))[0]
        return target + rest

    def forget(self, source: str) -> None:
        """Do not mount it after all."""
        self._found.pop(source, None)

    def add(self, source: str, target: str, *, write: bool) -> None:
        """Mount a path where it is wanted."""
        self._found[source] = (target, write)

    def options(self) -> Iterator[str]:
        """As docker and podman are told; a source that does not exist is an error, not a new folder of root's."""
        for source, (target, write) in self._found.items():
            if any(mark in source for mark in ',"\n'):
                raise SpecError(f"{source} cannot be mounted.", why="it holds a comma or a quote", then="rename it")
            yield f"--mount=type=bind,source={source},target={target}" + ("" if write else ",readonly")

    def binds(self) -> Iterator[str]:
        """As apptainer is told."""
        for source, (target, write) in self._found.items():
            if any(mark in source for mark in ",:\n"):
                raise SpecError(f"{source} cannot be mounted.", why="it holds a comma or a colon", then="rename it")
            yield f"--bind={source}:{target}:{'rw' if write else 'ro'}"


def _apptainer(image: Image, name: str, argv: list[str], mounts: _Mounts, *, visible: bool) -> list[str]:
    source = name if name.endswith(".sif") or "://" in name else f"docker://{name}"
    verb = "exec" if image.entry == "replace" else "run"
    return [
        "apptainer", verb, "--writable-tmpfs", *(["--nv"] if visible else []), *mounts.binds(), source,
        *(argv[1:] if image.entry == "program" else argv),
    ]  # fmt: skip


def _gpus(tool: str, spec: ServerSpec, gpus: tuple[int, ...]) -> list[str]:
    if spec.gpus == "none" or not (gpus or hardware.has_gpu()):
        return []
    if tool == "podman":
        return [f"--device=nvidia.com/gpu={index}" for index in gpus or ("all",)]
    # The quotes are docker's: it reads the value as a line of CSV.
    return [f'--gpus="device={",".join(map(str, gpus))}"' if gpus else "--gpus=all"]


def _hub(environ: Mapping[str, str] = os.environ) -> Path:
    """Where this machine keeps the hub's models."""
    if found := environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(found).expanduser().absolute()
    return Path(environ.get("HF_HOME", "~/.cache/huggingface")).expanduser().absolute() / "hub"


def _qualified(name: str) -> str:
    """Docker's short names, written out: podman asks which registry is meant, and there is nobody to answer."""
    first, slash, _ = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return name
    return f"docker.io/{name if slash else f'library/{name}'}"
