"""A server's spec as what one pod runs: image, words, variables, files, probes. The kinds are written from it.

The command is the engine adapter's own, made for the image by `engines.images` as for docker: no flag is written
here. A pod sees nothing of this machine: what lies on its disk is refused, unless a claim holds it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from llm_magics import models as shipped
from llm_magics.engines import hardware, images, models
from llm_magics.engines.base import Place
from llm_magics.errors import SpecError
from llm_magics.runtime.environment import is_secret
from llm_magics.runtime.logs import redact_args

if TYPE_CHECKING:
    from llm_magics.engines.base import Engine
    from llm_magics.spec import ServerSpec
    from llm_magics.spec.deployment import Deployment

FILES = f"{images.INSIDE}/files"
MODEL = f"{images.INSIDE}/model"
DRAIN = 5  # s between "going away" and TERM: so long may a proxy go on sending to a pod that is about to leave
_SIZE = re.compile(r"--shm-size=(\d+)g")


@dataclass(frozen=True)
class SecretKey:
    """A variable's value that stands in a Secret: never written, only named."""

    secret: str
    key: str
    optional: bool = False


@dataclass(frozen=True)
class Pod:
    """What one pod runs.

    Attributes
    ----------
    name
        The spec's name as Kubernetes takes it: lower case, hyphens.
    command, args
        The container's; an empty `command` leaves the image's own entry point.
    env, secrets
        Variables: values, and where the secret ones stand.
    files
        File name -> text, in `FILES`.
    prepare
        What an init container runs first with the same variables and volumes; empty for nothing.
    port, metrics_port, metrics_path
        `metrics_path` is "" for an engine without.
    ready, alive
        Pages that answer 200: may be sent requests; is well.
    startup, grace
        s until it must be ready; s between TERM and KILL.
    gpus, shm
        GPUs; size of /dev/shm, "" where the engine shares no memory.
    cache
        Where downloads go, to be kept; "" where nothing is downloaded.
    claim
        Name of a claim that is there, and where it is mounted: the model, or the cache.
    """

    name: str
    spec: ServerSpec
    engine: Engine
    image: str
    command: list[str]
    args: list[str]
    env: Mapping[str, str]
    secrets: Mapping[str, SecretKey]
    served_model: str
    port: int
    metrics_port: int
    metrics_path: str
    ready: str
    alive: str
    startup: float
    grace: float
    gpus: int
    shm: str
    cache: str
    claim: tuple[str, str] | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    prepare: list[str] = field(default_factory=list)
    asks: list[str] = field(default_factory=list)


def pod(engine: Engine, spec: ServerSpec, deployment: Deployment, *, sees_disk: bool = False) -> Pod:
    """What a pod runs for a spec; `sees_disk` for a container on this very machine, which is given the model's files.

    Raises
    ------
    SpecError
        For an option the engine lacks, an engine without an image, a model that pods cannot see, a secret in the
        arguments.
    """
    _no_secret(spec)
    gpus = gpus_of(engine, spec, deployment)
    spec = spec.model_copy(update={"gpus": None if gpus else "none", "on": "local", "python": None, "bin": None})
    if gpus == 0 and engine.needs_gpu:
        raise SpecError(f"{engine.title} needs a GPU.", then="gpus_per_pod: 1, or another engine (`%llm engines`)")
    threads = math.ceil(_cpus(deployment.cpu)) if deployment.cpu else hardware.threads()
    with hardware.elsewhere(gpu=gpus > 0, threads=threads):
        image = images.facts(engine, spec)
        model = models.resolve(engine, spec)
        claim = deployment.model_pvc.partition(":") if deployment.model_pvc else None
        there = _There(engine, spec, model, disk(model)[1] if sees_disk else claim[2] if claim else None)
        place = Place(
            images.executable(engine, spec), host="0.0.0.0", port=image.port, model=model, contained=True,  # noqa: S104
        )  # fmt: skip
        made = images.contained(engine, spec, place, there)
        name, local = dns(spec.name), model.startswith("/")
        seen = there.inside(model) if local else model
        served = engine.served_name(spec, seen)
        volume = next(iter(image.volumes.values()), "")
        hub = "" if local else image.hub
        env = {**made.env, **({"HF_HUB_CACHE": hub, "HUGGINGFACE_HUB_CACHE": hub} if hub else {})}
        cache = hub or volume
        ollama = bool(engine.launcher(place, spec))
        entry = image.entry == "replace"
        mount = MODEL if local else cache
        return Pod(
            name=name, spec=spec, engine=engine, image=images.image_name(engine, spec),
            command=made.argv if entry else [], args=[] if entry else made.argv[image.entry == "program" :],
            env={key: value for key, value in env.items() if not is_secret(key)},
            secrets=_secrets(engine, spec, name, hub=bool(hub)), served_model=served, port=image.port,
            metrics_port=image.port + (engine.metrics.beside if engine.metrics else 0),
            metrics_path=engine.metrics.path if engine.metrics else "",
            ready=made.ready_path or engine.ready_path,
            alive=engine.alive_path or made.ready_path or engine.ready_path,
            startup=spec.timeout, grace=engine.grace, gpus=gpus, shm=_shared(image.options, gpus, deployment),
            cache=cache, claim=(claim[0], mount) if claim and mount else None, files=there.files | _written(made.files),
            prepare=[*_PUT_IN, seen, served] if ollama else [],
            asks=[_asked(word, image.port, made.ready_path or engine.ready_path, served) for word in image.asks],
        )  # fmt: skip


# Ollama's models are put in by a server of its own: a name by `pull`, a file by `create`; then the name is given.
_SCRIPT = """\
ollama serve & until ollama list >/dev/null 2>&1; do sleep 1; done
case "$1" in
/*) echo "FROM $1" >/tmp/Modelfile; ollama create "$2" -f /tmp/Modelfile;;
*) ollama pull "$1"; [ "$1" = "$2" ] || ollama cp "$1" "$2";;
esac"""
_PUT_IN = ["/bin/sh", "-ec", _SCRIPT, "put-in"]


def gpus_of(engine: Engine, spec: ServerSpec, deployment: Deployment) -> int:
    """GPUs of one pod: what is said, else what the model is split over, else as it ran here."""
    split = (spec.tensor_parallel_size or 1) * (spec.pipeline_parallel_size or 1) * (spec.data_parallel_size or 1)
    if (said := deployment.gpus_per_pod) is not None:
        if 0 < said < split:
            raise SpecError(
                f"The model is split over {split} GPUs, and a pod has {said}.",
                why="tensor, pipeline and data parallel sizes multiply; the engine would not start",
                then=f"gpus_per_pod: {split}, or smaller parallel sizes",
            )
        return said
    if spec.gpus == "none":
        return 0
    if isinstance(spec.gpus, list):
        return max(split, len(spec.gpus))
    image = engine.image
    only_gpu = engine.needs_gpu or (image is not None and not image.cpu and not spec.image)
    return split if spec.gpus == "auto" or only_gpu or hardware.has_gpu() else 0


def dns(name: str) -> str:
    """A server's name as Kubernetes takes it (RFC 1123): lower case, hyphens for underscores."""
    return re.sub(r"-+", "-", name.lower().replace("_", "-")).strip("-") or "server"


def disk(model: str) -> tuple[str, str]:
    """What of this machine's disk holds a local model, and the model's place in what is mounted of it.

    A snapshot in the hub's cache is links to the files beside it, so all of its repository is needed.
    """
    path = Path(model)
    if path.parent.name == "snapshots" and (path.parents[1] / "blobs").is_dir():
        return str(path.parents[1]), f"{path.parents[1].name}/snapshots/{path.name}"
    return model, path.name


class _There:
    """Where paths of this machine are in a pod: the model in a claim, small files of ours in a ConfigMap."""

    def __init__(self, engine: Engine, spec: ServerSpec, model: str, claimed: str | None) -> None:
        self._engine, self._spec, self._model, self._claimed = engine, spec, model, claimed
        self.files: dict[str, str] = {}

    def inside(self, path: str) -> str:
        if path == self._model:
            if self._claimed is None:
                raise self._unseen(path)
            return f"{MODEL}/{(self._claimed or Path(path).name).lstrip('/')}"
        if Path(path) == images.LAUNCHERS:
            self.files = _launcher(self._engine)
            return FILES
        if path.endswith(".engine.yaml"):
            return f"{FILES}/{Path(path).name}"
        raise SpecError(
            f"The pods cannot see {path}.",
            why="it lies on this machine's disk",
            then="write a hub id instead of a path",
        )

    def forget(self, source: str) -> None:
        """Nothing was mounted for it."""

    def _unseen(self, path: str) -> SpecError:
        what = f"{self._spec.model!r} ships with llm-magics" if shipped.is_shipped(self._spec.model) else path
        return SpecError(
            f"The pods cannot see the model: {what}.",
            why=f"{path} lies on this machine's disk",
            then="model: a hub id (to look at the files at once: --engine vllm --model Qwen/Qwen3-0.6B; "
            "without --apply they are only written); or copy it into a PersistentVolumeClaim (`kubectl cp`) and add "
            f"--model-pvc CLAIM:{Path(path).name}; or --to compose, which takes it from this disk",
        )


def _launcher(engine: Engine) -> dict[str, str]:
    """The engine's launcher, with those beside it that it names: a ConfigMap is not for what nobody reads."""
    known = {each.stem: each.read_text("utf-8") for each in images.LAUNCHERS.glob("*.py")}
    wanted, found = [f"{engine.key}_server"], dict[str, str]()
    while wanted:
        stem = wanted.pop()
        if stem in known and f"{stem}.py" not in found:
            text = found[f"{stem}.py"] = known[stem]
            wanted += [each for each in known if re.search(rf"(?:from|import) {each}\b|\b{each}\.py\b", text)]
    return dict(sorted(found.items()))


def _written(files: Mapping[str, str]) -> dict[str, str]:
    return {Path(path).name: text for path, text in files.items()}


def _secrets(engine: Engine, spec: ServerSpec, name: str, *, hub: bool) -> dict[str, SecretKey]:
    found = {key: SecretKey(f"{name}-env", key) for key in spec.env if is_secret(key)}
    if engine.key_env and engine.key_env not in found:
        found[engine.key_env] = SecretKey(f"{name}-api-key", "api-key")
    if hub and "HF_TOKEN" not in found:
        found["HF_TOKEN"] = SecretKey("huggingface", "token", optional=True)
    return found


def _no_secret(spec: ServerSpec) -> None:
    if redact_args(spec.args) != list(spec.args) or "***" in spec.args:
        raise SpecError(
            "There is a secret among args.",
            why="a manifest is kept in a repository; nothing secret is written into it",
            then="give it as a variable of the engine's: env: {NAME: …} becomes a Secret that is only named",
        )


def _shared(options: Sequence[str], gpus: int, deployment: Deployment) -> str:
    """Size of /dev/shm; Kubernetes gives 64 MiB, in which workers of several GPUs cannot talk."""
    if deployment.shm:
        return deployment.shm
    said = next((found[1] for word in options if (found := _SIZE.fullmatch(word))), None)
    if said:
        return f"{said}Gi"
    # vLLM's own example for Kubernetes has 2 GiB (docs/deployment/k8s.md).
    return f"{2 * max(1, gpus)}Gi" if "--ipc=host" in options else ""


def _asked(word: str, port: int, page: str, model: str) -> str:
    return word.replace("{page}", f"http://127.0.0.1:{port}{page}").replace("{model}", model)


def _cpus(quantity: str) -> float:
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(re.sub(r"[^\d.]", "", quantity))
