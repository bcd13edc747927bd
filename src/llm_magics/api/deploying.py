"""From a server's spec to a cluster: the spec that was served (or is said), what a pod runs, the files, the rollout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magics.errors import SpecError
from llm_magics.spec import ServerSpec
from llm_magics.spec.deployment import Deployment
from llm_magics.spec.reading import build

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from llm_magics.deployment.documents import Written
    from llm_magics.deployment.rollout import Rolled

# What of a spec is about this machine or this notebook, and nothing to a pod.
_HERE = ("python", "bin", "host", "port", "on", "keep", "idle")


def deploy(
    name: str,
    *,
    out: str | Path | None = None,
    check: bool = False,
    apply: bool = False,
    context: str | None = None,
    on_stage: Callable[[str], None] | None = None,
    lines: Mapping[str, int] | None = None,
    **options: Any,
) -> Written | Rolled:
    """Write what deploys a server, and with `apply` put it into a cluster and follow the rollout.

    Parameters
    ----------
    name
        A server that was served on this machine, running or not; or a new name, with `engine` and `model`.
    out
        A file (`.yaml`, `.yml`), or a folder for one file a document.
    check
        Let the schemas of three releases of Kubernetes judge it, with no cluster (`kubernetes-validate`; seconds).
    apply
        Apply to the cluster that kubectl talks to, and wait until it is ready.
    context
        Another of the kubeconfig's contexts.
    on_stage
        Called with each stage of the rollout.
    lines
        Line of the cell on which each option stands, for error messages.
    options
        Options of `Deployment` (to, namespace, replicas …) and of `ServerSpec`, which change what was served.

    Raises
    ------
    SpecError
        When something is wrong before anything was written or applied.
    DeployError
        When the cluster refuses it, or the rollout does not come to its end; says what was applied and how to undo it.
    """
    from llm_magics.api.learning import note

    of_deployment = {key: value for key, value in options.items() if key in Deployment.model_fields}
    of_server = {key: value for key, value in options.items() if key not in Deployment.model_fields}
    deployment = build(Deployment, of_deployment, lines)
    spec = spec_of(name, of_server, lines)
    made = written(spec, deployment)
    if out is not None:
        place = _place(made, Path(out).expanduser())
        made = made.at(place)
        write(made, place)
    if check:
        made = checked(made)
    note("manifested", {"to": deployment.to, "engine": spec.engine, "valid": check})
    if not apply:
        return made
    if deployment.to not in ("kubernetes", "kserve"):
        raise SpecError(f"--apply is for clusters, and this is {deployment.to}.", then=made.then[0])
    from llm_magics.deployment.apply import applied

    done = applied(made, spec, deployment, context=context, on_stage=on_stage or (lambda _: None))
    facts = {"to": deployment.to, "engine": spec.engine, "seconds": round(done.seconds, 1)}
    note("deployed", {**facts, "name": name, "target": done.target})
    return done


def spec_of(name: str, options: Mapping[str, Any], lines: Mapping[str, int] | None = None) -> ServerSpec:
    """The spec that was served under a name, with what is said of it changed; or a new one.

    Raises
    ------
    SpecError
        When no server has that name and no engine or model is said, or an option is wrong.
    """
    from llm_magics.runtime.registry import Registry
    from llm_magics.spec.reading import nearest

    registry = Registry()
    record = registry.get(name)
    known = {each.name for each in registry.list()}
    if record is None and not {"engine", "model"} & set(options):
        raise SpecError(
            f"There is no server {name!r}{nearest(name, sorted(known))}, and nothing says what to deploy.",
            why=f"known: {', '.join(sorted(known))}" if known else "no server was served here",
            then=f"serve it first (`%serve {name} …`), or say what: --engine vllm --model Qwen/Qwen3-0.6B",
        )
    # Of what never ran here nobody knows that a CPU is enough: it asks for GPUs.
    served: dict[str, Any] = {"gpus": "auto"}
    if record is not None:
        served = {key: record.spec[key] for key in record.spec if key not in _HERE}
        served |= {} if record.timeout is None else {"timeout": record.timeout}
    return build(ServerSpec, {"name": name, **served, **options}, lines)


def written(spec: ServerSpec, deployment: Deployment) -> Written:
    """What deploys a spec (errors as in `deploy`)."""
    from llm_magics import engines
    from llm_magics.deployment import compose, helm, kserve, kubernetes
    from llm_magics.deployment.pod import pod
    from llm_magics.engines import models

    engine = engines.get(spec.engine)
    if deployment.to == "kserve" and engine.key == "transformers" and not spec.image:
        return kserve.hugging_face(engine, spec, deployment)
    if deployment.to == "compose":
        model = models.resolve(engine, spec)
        here = pod(engine, spec, deployment.model_copy(update={"model_pvc": None}), sees_disk=True)
        devices = spec.gpus if isinstance(spec.gpus, list) else ()
        return compose.project(here, model if model.startswith("/") else None, here.port, devices)
    make = {"kubernetes": kubernetes.manifests, "kserve": kserve.inference_service, "helm-values": helm.values}
    return make[deployment.to](pod(engine, spec, deployment), deployment)


def _place(made: Written, path: Path) -> Path:
    """The file that is written, or the folder for several."""
    folder = path.is_dir() or path.suffix not in (".yaml", ".yml")
    return path / made.file if folder and len(made.documents) == 1 else path


def write(made: Written, path: Path) -> list[Path]:
    """Write the file, or one for each document into a folder (see `_place`).

    Raises
    ------
    SpecError
        When the place cannot be written to.
    """
    from llm_magics.deployment.documents import Written as Kind

    try:
        if not path.is_dir() and path.suffix in (".yaml", ".yml"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made.text, "utf-8")
            return [path]
        path.mkdir(parents=True, exist_ok=True)
        paths = []
        for number, document in enumerate(made.documents):
            kind = document.kind.lower()
            part = Kind(made.to, made.name, made.namespace, "", [document], (), made.then if number == 0 else ())
            paths.append(path / f"{number:02}-{kind}.yaml")
            paths[-1].write_text(part.text, "utf-8")
    except OSError as error:
        raise SpecError(f"{path} cannot be written.", why=str(error), then="--out FILE or DIR somewhere else") from None
    return paths


def checked(made: Written) -> Written:
    """Let Kubernetes' own schemas judge what was written; the same, with what they said.

    Raises
    ------
    SpecError
        When they refuse it, or there is nothing to judge it by.
    """
    from llm_magics.deployment.validity import RELEASES, judged, problems

    found = problems(made)
    if found is None:
        raise SpecError(
            "This cannot be checked here.",
            why="there is no package kubernetes-validate"
            if made.to in ("kubernetes", "kserve")
            else "it is no manifest",
            then="pip install 'llm-magics[k8s]'" if made.to in ("kubernetes", "kserve") else made.then[0],
        )
    if found:
        raise SpecError(
            "Kubernetes would not take it.", why="\n".join(found[:6]), then="correct the option it comes from"
        )
    others = sorted({each.kind for each in made.documents if not judged(each)})
    rest = f"; not judged: {', '.join(others)}, which are not Kubernetes' own" if others else ""
    return replace(made, verdict=f"Kubernetes {', '.join(RELEASES)} take it{rest}")
