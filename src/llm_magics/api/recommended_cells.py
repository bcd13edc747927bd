"""The cell of a recommendation: options with which an engine really starts on this machine, tried by `prepare`.

An engine that is not installed is tried as if it were, in the version its adapter was made for.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_magics.errors import LLMMagicsError, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from llm_magics.advice.machine import Accelerators
    from llm_magics.advice.recommend import Recommendation
    from llm_magics.api.preparing import Prepared

NAME = "mine"
_LENGTHS = (131072, 65536, 32768, 16384, 8192, 4096, 2048)  # tokens of context that are tried, the longest first
_NO_BFLOAT16 = 8.0  # compute capability below which a GPU has none
_WHEELS_FOR_CUDA = ("amd", "intel", "tpu")  # where what `%llm install` fetches of vLLM and SGLang does not run
_OWN_BUILDS = {"vllm": "vLLM", "sglang": "SGLang", "tgi": "TGI"}


@dataclass(frozen=True)
class Candidate:
    """An engine on this machine: how it stands in words, whether it could run, whether it is installed, and how.

    `but` is what of an installed one is not as the answer means it.
    """

    key: str
    title: str
    words: str
    runs: bool
    installed: bool
    on: str = "local"
    but: str = ""


def candidates(answer: Recommendation, here: Accelerators) -> dict[str, Candidate]:
    """Every ranked engine as it stands here."""
    from llm_magics import engines

    known = set(engines.names())
    return {
        choice.engine: _candidate(choice.engine, choice.title, here, answer.answers["hardware"])
        if choice.engine in known
        else Candidate(choice.engine, choice.title, "no adapter for it is installed", False, False)
        for choice in answer.ranked
    }


def _candidate(key: str, title: str, here: Accelerators, asked: str) -> Candidate:
    from llm_magics import engines
    from llm_magics.engines import environments

    engine = engines.get(key)
    if engine.needs_gpu and not here.kind.startswith("nvidia"):
        return Candidate(key, title, "needs an NVIDIA GPU, and there is none", False, False)
    if found := environments.locate(engine):
        but = _of_cpus(key, asked) if found.for_cpus else ""
        words = ", ".join(filter(None, [f"installed: {found.version or found.origin}", but]))
        return Candidate(key, title, words, True, True, but=but)
    if here.kind in _WHEELS_FOR_CUDA and key in _OWN_BUILDS:
        words = f"install {title}'s build for {here.kind}, then --python PATH"
        return Candidate(key, title, words, False, False)
    on_nvidia, image = here.kind.startswith("nvidia"), engine.image
    if (engine.install.gpu or engine.install.cpu) if on_nvidia else engine.install.cpu:
        return Candidate(key, title, f"%llm install {key}", True, False)
    if image and (image.gpu if on_nvidia else image.cpu) and (tool := _container_tool()):
        return Candidate(key, title, f"by its container image (on: {tool})", True, False, tool)
    return Candidate(key, title, environments.by_hand(engine), False, False)


def _of_cpus(key: str, asked: str) -> str:
    """What a build for CPUs is where the answer is for a GPU of a kind, and what brings the other one; "" for a CPU."""
    if asked.startswith("nvidia"):
        return f"the build for CPUs; for a GPU: %llm install {key} --gpu"
    return f"the build for CPUs; one for {asked} goes by --python PATH" if asked in _WHEELS_FOR_CUDA else ""


def _container_tool() -> str:
    """A container tool of this machine that answers; "" when none does."""
    import shutil

    from llm_magics.runtime import containers

    for tool in ("docker", "podman"):
        if shutil.which(tool):
            try:
                containers.check(tool)
            except LLMMagicsError:
                continue
            return tool
    return ""


def first_that_passes(
    order: Sequence[Candidate], model: str, answers: Mapping[str, str], here: Accelerators
) -> tuple[str, list[str]]:
    """The cell of the best engine that starts here, installed ones first, and what to know before it is run.

    Returns
    -------
    tuple
        The cell, "" when none of them starts; notes.
    """
    tries = sorted((each for each in order if each.runs), key=lambda each: not each.installed)
    passed_over = {each.key: each.words for each in order if not each.runs}
    for candidate in tries:
        options, why = passing(candidate, model, answers, here=here)
        if options is None:
            passed_over[candidate.key] = why
            continue
        better = [
            f"{each.title} ranks higher: {passed_over.get(each.key, each.words)}"
            for each in order[: order.index(candidate)]
        ]
        first = [] if candidate.installed or candidate.on != "local" else [f"first: %llm install {candidate.key}"]
        first += [f"the {candidate.title} here is {candidate.but}"] if candidate.but else []
        lines = [f"%%serve {NAME} --engine {candidate.key}", f"model: {_plain(written(candidate, model))}"]
        lines += [
            f"{key}: {value if isinstance(value, (int, str)) else json.dumps(value)}" for key, value in options.items()
        ]
        return "\n".join(lines), [*better, *first, *_to_add(candidate, answers), *_fitting(model)]
    titles = {each.key: each.title for each in order}
    told = _fitting(model, remedies=2)
    by_reason: dict[str, list[str]] = {}
    for key, why in passed_over.items():
        by_reason.setdefault(why, []).append(titles[key])
    return "", [*(f"{', '.join(names)}: {why}" for why, names in by_reason.items() if why not in told), *told]


def passing(
    candidate: Candidate,
    model: str,
    answers: Mapping[str, str],
    *,
    here: Accelerators | None = None,
    plain: bool = False,
) -> tuple[dict[str, Any] | None, str]:
    """Options of a server with which the engine would start with this model, and else why none were found.

    `plain` tries no options at all.
    """
    from llm_magics import engines

    engine, why = engines.get(candidate.key), ""
    wanted = answers["format"]
    if (wanted == "gguf") != (engine.model_format == "gguf") and wanted != "any":
        return None, f"reads {engine.model_format}, and {wanted} was asked for"
    if _of_ollamas_library(model) and candidate.key != "ollama":
        return None, f"{model} is a name of Ollama's library"
    base: dict[str, Any] = {} if candidate.on == "local" else {"on": candidate.on}
    for extra in [{}] if plain else _variants(candidate.key, model, answers, here):
        options = {**base, **{key: value for key, value in extra.items() if key in (*engine.options, "args", "on")}}
        try:
            _prepared(candidate, model, options).command_line  # noqa: B018 - it is made to see whether it can be
        except (SpecError, ValueError) as error:
            why = why or (error.what if isinstance(error, SpecError) else str(error))
            continue
        return options, ""
    return None, why


def _of_ollamas_library(model: str) -> bool:
    from pathlib import Path

    from llm_magics import models as shipped

    return not shipped.is_shipped(model) and "/" not in model and not Path(model).expanduser().exists()


def written(candidate: Candidate, model: str) -> str:
    """The model as the engine is to be told: Ollama takes a hub's name for one of its own library without `hf.co/`."""
    from pathlib import Path

    hub = model.count("/") == 1 and not model.startswith(("/", ".", "~")) and not Path(model).exists()
    return f"hf.co/{model}" if candidate.key == "ollama" and hub and "hf.co" not in model else model


def _variants(key: str, model: str, answers: Mapping[str, str], here: Accelerators | None) -> Iterator[dict[str, Any]]:
    """Options that are tried one after another, the plainest first."""
    from llm_magics.runtime import gpus

    must: dict[str, Any] = {}
    if here is not None and here.capability is not None and here.capability < _NO_BFLOAT16 and key != "llamacpp":
        must["dtype"] = "float16"
    larger = answers["need"] == "larger-than-memory"
    if larger and key == "deepspeed":
        must["args"] = ["--offload", "cpu"]
    yield must
    cards = len(gpus.gpus())
    sizes = [size for size in (2, 4, 8) if size <= cards]
    for size in sizes:
        yield {**must, "tensor_parallel_size": size}
    if larger and key == "vllm" and cards:
        for offload in (8, 16, 32, 64, 128):
            yield {**must, "args": ["--cpu-offload-gb", str(offload)], "max_model_len": 8192}
    for length in _LENGTHS:
        yield {**must, "max_model_len": length}
        if sizes:
            yield {**must, "tensor_parallel_size": sizes[-1], "max_model_len": length}


def _prepared(candidate: Candidate, model: str, options: Mapping[str, Any]) -> Prepared:
    """What `%%serve` would prepare; an engine that is not here counts as installed.

    Raises
    ------
    SpecError
        As `prepare`.
    """
    from llm_magics import engines
    from llm_magics.api.memory_check import check
    from llm_magics.api.preparing import Prepared, prepare
    from llm_magics.engines import models
    from llm_magics.engines.base import Executable
    from llm_magics.runtime import gpus
    from llm_magics.spec import ServerSpec
    from llm_magics.spec.reading import build

    spec = build(ServerSpec, {"name": NAME, "engine": candidate.key, "model": written(candidate, model), **options})
    if candidate.installed or candidate.on != "local":
        made = prepare(spec)
        check(made, sure=False)
        return made
    engine = engines.get(candidate.key)
    engine.translated(spec)
    build_for_cpu = "+cpu" if engine.key == "vllm" and not gpus.gpus() else ""
    binary = None if engine.install.modules else engine.install.binary
    supposed = Executable((engine.tested or ("",))[-1] + build_for_cpu, python=sys.executable, binary=binary)
    made = Prepared(spec, engine, supposed, models.resolve(engine, spec), ())
    check(made, sure=False)
    return made


def _to_add(candidate: Candidate, answers: Mapping[str, str]) -> list[str]:
    """What the person alone knows and has to write into the cell."""
    notes = []
    if answers["need"] == "lora":
        notes.append("add your adapters: lora_modules: {NAME: FOLDER}")
    if answers["need"] == "multi-node":
        notes.append("the cell is for this machine; the other nodes are started by the engine's own options (args)")
    if candidate.key in ("llamacpp", "ollama") and answers["traffic"] == "many":
        notes.append("requests beyond its slots wait: max_num_seqs sets how many are answered at once")
    return notes


def _fitting(model: str, *, remedies: int = 0) -> list[str]:
    """Whether it fits, in one sentence, and so many remedies; what is not known is said."""
    from llm_magics import models as shipped
    from llm_magics.advice.fit import fit

    if shipped.is_shipped(model):
        return []
    try:
        found = fit(model, online=False)
        return [found.verdict, *(f"what would fit: {each}" for each in found.remedies[:remedies])]
    except SpecError as error:
        return [f"whether it fits is not known: {error.what}"]


def _plain(text: str) -> str:
    """A word as YAML takes it: in quotes where it would be read as something else, or not at all."""
    from llm_magics.spec.reading import read_mapping

    try:
        return text if read_mapping(f"model: {text}\n")[0] == {"model": text} else json.dumps(text)
    except SpecError:
        return json.dumps(text)
