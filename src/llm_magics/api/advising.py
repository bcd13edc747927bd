"""What a running server answers, and which engine to take: the advice that needs servers, engines and measurements."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_magics.advice.probe import Server, Tried
    from llm_magics.advice.recommend import Choice, Recommendation

# Small, because it is run on whatever this machine is; the same bytes for every engine.
_WORKLOAD = {"workload": "random", "input_tokens": 128, "output_tokens": 32, "concurrency": 4, "requests": 24}


def probe(target: Any) -> list[Tried]:
    """Try every endpoint of a running server (a name, a `Server` or a URL).

    Of a server of ours its adapter says which API it speaks and where its health, its metrics and its tokens are; a
    URL is asked whether it is one of the KServe family or of OpenAI's.

    Raises
    ------
    TargetError
        When there is no such server or it does not answer.
    """
    from llm_magics.advice.probe import Server
    from llm_magics.advice.probe import probe as tried

    if isinstance(target, str) and "://" in target and (model := _kserve_model(target)):
        url = target.rstrip("/").removesuffix("/v2")
        return tried(Server(url, model, protocol="kserve", health="/v2/health/ready"))
    from llm_magics.api.targets import resolve

    found = resolve(target)
    endpoint, key = found.endpoint, found.provenance.get("engine", "")
    return tried(_known(Server(endpoint.url, endpoint.model, endpoint.api_key), key))


def _known(server: Server, key: str) -> Server:
    """The server with what its engine's adapter knows of it."""
    from llm_magics import engines
    from llm_magics.advice.probe import EXACT

    if key not in engines.names():
        return server
    engine = engines.get(key)
    page = engine.metrics
    return replace(
        server, protocol=engine.protocol, health=engine.ready_path, tokenize=engine.tokenize_path or "/tokenize",
        metrics=page.path if page else None, metrics_beside=page.beside if page else 0,
        body={name: value for name, value in engine.body().items() if name != "stream_options"},
        exact=engine.fixed_length(EXACT),
    )  # fmt: skip


def _kserve_model(url: str) -> str | None:
    """The first model of a server of the KServe family; None where the URL is of another kind."""
    from llm_magics.errors import TargetError
    from llm_magics.load.endpoint import ask

    base = url.rstrip("/").removesuffix("/v2")
    try:
        if ask(base, "GET", "/v1/models").status == 200 or ask(base, "GET", "/v2/health/ready").status != 200:
            return None
        index = ask(base, "POST", "/v2/repository/index", {}).document
    except TargetError:
        return None
    ready = [each["name"] for each in index or () if isinstance(each, dict) and each.get("state", "READY") == "READY"]
    return str(ready[0]) if ready else None


def recommend(model: str | None = None, *, measure: bool = False, **answers: str) -> Recommendation:
    """Which engine to take, why, and a cell that starts it here.

    Parameters
    ----------
    model
        The model it is for; the shipped one when left out.
    measure
        Run the engines that are installed here on `model` (one after another) and rank them by output tokens/s.
    answers
        `priority`, `hardware`, `traffic`, `format`, `structured_output`, `stage`, `need`; what is left out is found on
        this machine or taken as usual.

    Raises
    ------
    SpecError
        For an answer that there is not.
    """
    from llm_magics.advice.recommend import recommend as ranked

    found = {"hardware": _hardware(), **({"format": "gguf"} if (model or "").endswith(".gguf") else {})}
    answer = ranked(answers, found)
    here = {choice.engine: _here(choice.engine) for choice in answer.ranked}
    answer = replace(answer, ranked=tuple(replace(each, here=here[each.engine][0]) for each in answer.ranked))
    if measure:
        answer = _measured(answer, model or "tiny", [key for key, (_, runs, ready) in here.items() if runs and ready])
    runnable = [choice for choice in answer.ranked if here[choice.engine][1] and _reads(choice.engine, model)]
    if not runnable:
        return replace(answer, cell_notes=("none of these engines runs on this machine",))
    first = next((choice for choice in runnable if here[choice.engine][2]), runnable[0])
    cell, notes = _cell(first, model or "tiny")
    if answer.answers["hardware"] != _hardware():
        notes = [f"the answer is for {answer.answers['hardware']}; this machine has {_hardware()}", *notes]
    if first is not answer.ranked[0]:
        better = ", ".join(choice.title for choice in answer.ranked[: answer.ranked.index(first)])
        notes = [f"{better} ranks higher, and is not installed or does not run here", *notes]
    return replace(answer, cell=cell, cell_notes=tuple(notes))


def _hardware() -> str:
    """What this machine has."""
    from llm_magics.runtime import gpus

    if gpus.gpus():
        return "nvidia"
    return "apple" if sys.platform == "darwin" else "cpu"


def _here(key: str) -> tuple[str, bool, bool]:
    """How an engine stands on this machine: in words, whether it can run, whether it is installed."""
    from llm_magics import engines
    from llm_magics.engines import environments
    from llm_magics.runtime import gpus

    if key not in engines.names():
        return "no adapter for it is installed", False, False
    engine = engines.get(key)
    if engine.needs_gpu and not gpus.gpus():
        return "needs a GPU, and there is none", False, False
    found = environments.locate(engine)
    if found:
        return f"installed: {found.version or found.origin}", True, True
    by_us = bool(engine.install.cpu or engine.install.gpu)
    return (f"%llm install {key}" if by_us else engine.install.hint), by_us, False


def _reads(key: str, model: str | None) -> bool:
    """Whether the engine takes a model that is written so."""
    from llm_magics import engines
    from llm_magics import models as shipped

    if model is None or shipped.is_shipped(model):
        return True
    return (engines.get(key).model_format == "gguf") == model.endswith(".gguf")


def _cell(choice: Choice, model: str) -> tuple[str, list[str]]:
    """A `%%serve` cell whose options fit this machine, and what to know before it is run."""
    from llm_magics.engines import environments, get
    from llm_magics.runtime import gpus

    lines, notes = [f"%%serve mine --engine {choice.engine}", f"model: {model}"], []
    if environments.locate(get(choice.engine)) is None:
        notes.append(f"first: %llm install {choice.engine}")
    cards = gpus.gpus()
    if cards:
        options, more = _fitting(choice.engine, model, len(cards))
        lines += [f"{key}: {value}" for key, value in options.items()]
        notes += more
    return "\n".join(lines), notes


def _fitting(key: str, model: str, cards: int) -> tuple[Mapping[str, Any], list[str]]:
    """Options with which a model fits this machine's GPUs, and what was found when it does not."""
    from llm_magics.advice.fit import fit
    from llm_magics.engines import get
    from llm_magics.errors import SpecError

    try:
        found = fit(model)
    except SpecError as error:
        return {}, [f"whether it fits is not known: {error.what}"]
    options: dict[str, Any] = {}
    if found.fits:
        return options, [found.verdict]
    if found.gpus_needed and found.gpus_needed <= min(cards, 8):
        options["tensor_parallel_size"] = found.gpus_needed
    elif longest := found.balance.longest():
        options["max_model_len"] = longest // 256 * 256 or longest
    has = get(key).options
    return {name: value for name, value in options.items() if name in has}, [found.verdict]


def _measured(answer: Recommendation, model: str, candidates: list[str]) -> Recommendation:
    """The installed engines measured one after another, and ranked by it before those that were not."""
    from llm_magics.api.comparing import compare
    from llm_magics.errors import SpecError

    able = [key for key in candidates if _reads(key, model)]
    if len(able) < 2:
        raise SpecError(
            "There are not two engines here to be measured.", why=f"installed and able: {', '.join(able) or 'none'}",
            then="%llm install NAME",
        )  # fmt: skip
    comparison = compare(engines=able, model=model, workload=_WORKLOAD)
    figures = {
        str(run.header.get("engine") or label): run.points[0].get("output_throughput")
        for label, run in comparison.runs.items()
    }
    choices = [replace(choice, measured=figures.get(choice.engine)) for choice in answer.ranked]
    ranked = sorted(choices, key=lambda choice: (choice.measured is None, -(choice.measured or 0.0)))
    return replace(answer, ranked=tuple(ranked), comparison=comparison)
