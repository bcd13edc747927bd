"""Memory before a launch: `fit` for a person who asks, `check` for a server that is about to start.

The check speaks only where it is sure: a GPU of this machine, an engine that takes its memory at the start, a model
whose files or configuration are here. Everything else is left to the engine, which knows better.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.advice.balance import Balance, Demand
    from llm_magics.advice.fit import Fit
    from llm_magics.api.serving import Prepared
    from llm_magics.spec import ServerSpec

OPTIONS = (
    "revision", "dtype", "quantization", "kv_cache_dtype", "max_model_len", "max_num_seqs", "gpu_memory_utilization",
    "tensor_parallel_size", "pipeline_parallel_size", "max_num_batched_tokens",
)  # fmt: skip
_SURE = 0.5  # part of the estimated overhead that counts against a launch
_KNOWN = frozenset({"vllm", "sglang"})  # whose use of memory is known; the others offload, or count another share
_SHORT = 1024  # tokens; engines that shrink the context by themselves need room for a short one
_ELSEWHERE = ("--cpu-offload", "--kv-cache-memory", "--kv-offloading", "--device", "--max-total-tokens")


def fit(model: str, *, gpu: str | None = None, memory: str | None = None, **options: Any) -> Fit:
    """Whether a model fits, at which context and concurrency, and what to change when it does not.

    Parameters
    ----------
    model
        `tiny`, a folder, a GGUF file or a hub id.
    gpu, memory
        A kind of GPU (`H100`) or the memory of one (`24GB`); this machine when left out.
    options
        Those of `ServerSpec` that change memory (`OPTIONS`); `max_num_seqs` are the sequences to be held at once.

    Raises
    ------
    SpecError
        For a model, a GPU or an option that is not known.
    """
    from llm_magics.advice.fit import fit as answer
    from llm_magics.advice.fit import this_machine
    from llm_magics.spec import ServerSpec
    from llm_magics.spec.reading import build

    spec = build(ServerSpec, {"name": "fit", "model": model, **options})
    if other := [name for name in spec.options if name not in (*OPTIONS, "model")]:
        raise SpecError(f"{other[0]} does not change what fits.", why=f"options: {', '.join(OPTIONS)}")
    return answer(model, device=this_machine(gpu, memory), demand=_demand(spec), revision=spec.revision)


def check(prepared: Prepared) -> None:
    """Refuse a server whose GPUs are surely too small; silent where anything about it is not known.

    Raises
    ------
    SpecError
        With what does not fit and what would.
    """
    balance = _balance(prepared)
    if balance is None or balance.fits:
        return
    from llm_magics.advice.balance import GIB
    from llm_magics.advice.fit import judged

    found = judged(balance)
    each = f" on each of {balance.gpus} GPUs" if balance.gpus > 1 else ""
    raise SpecError(
        found.verdict,
        why=f"{balance.budget / GIB:.1f} GiB may be used{each}; the weights are {balance.weights / GIB:.1f} GiB, "
        f"one sequence of {balance.context:,} tokens {balance.sequence(balance.context) / GIB:.1f} GiB, the rest "
        f"about {balance.overhead / GIB:.1f} GiB",
        then=f"{'; or '.join(found.remedies[:3])}; or --force to start it all the same",
    )


def _balance(prepared: Prepared) -> Balance | None:
    """What is about to start as the fit check sees it; None where it is not known or not the check's business."""
    spec, engine = prepared.spec, prepared.engine
    if engine.key not in _KNOWN or spec.gpus == "none" or "cpu" in prepared.executable.version:
        return None
    if any(word.startswith(_ELSEWHERE) for word in spec.args) or spec.load_format == "gguf":
        return None
    from llm_magics.advice.weights import AT_LOAD

    if spec.quantization is not None and spec.quantization not in AT_LOAD:
        return None  # how many bits it leaves is not known
    from llm_magics.runtime import gpus

    present = [gpu for gpu in gpus.gpus() if not prepared.gpus or gpu.index in prepared.gpus]
    wanted = (spec.tensor_parallel_size or 1) * (spec.pipeline_parallel_size or 1)
    if len(present) < wanted or any(gpu.mig for gpu in present):
        return None
    from dataclasses import replace

    from llm_magics.advice.balance import Balance, Device
    from llm_magics.advice.model_facts import facts

    try:
        known = facts(spec.model, revision=spec.revision, online=False)
        known.weights(spec.dtype, spec.quantization)
    except SpecError:
        return None
    smallest = min(present[:wanted], key=lambda gpu: gpu.memory_total)
    device = Device(smallest.name, smallest.memory_total, count=len(present))
    # SGLang's share is of weights and cache alone: what else it takes lies outside.
    found = Balance(known, _demand(spec), device, doubt=_SURE if engine.key == "vllm" else 0.0)
    if engine.key != "vllm" or spec.max_model_len == "auto":
        shorter = min(found.context, _SHORT)
        found = replace(found, demand=replace(found.demand, context=shorter))
    return found


def _demand(spec: ServerSpec) -> Demand:
    from llm_magics.advice.balance import Demand

    return Demand(
        context=spec.max_model_len if isinstance(spec.max_model_len, int) else None,
        sequences=spec.max_num_seqs or 1,
        tensor=spec.tensor_parallel_size or 1,
        pipeline=spec.pipeline_parallel_size or 1,
        dtype=spec.dtype,
        quantization=spec.quantization,
        kv_cache_dtype=spec.kv_cache_dtype,
        share=spec.gpu_memory_utilization,
        batched_tokens=spec.max_num_batched_tokens,
    )
