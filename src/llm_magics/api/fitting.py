"""`fit` for a person who asks, in the words of a server's options; `memory_check` asks the same before a launch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_magics.errors import SpecError

if TYPE_CHECKING:
    from llm_magics.advice.balance import Demand
    from llm_magics.advice.fit import Fit
    from llm_magics.spec import ServerSpec

OPTIONS = (
    "revision", "dtype", "quantization", "kv_cache_dtype", "max_model_len", "max_num_seqs", "gpu_memory_utilization",
    "tensor_parallel_size", "pipeline_parallel_size", "max_num_batched_tokens",
)  # fmt: skip


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
    from llm_magics.api.learning import note
    from llm_magics.spec import ServerSpec
    from llm_magics.spec.reading import build

    spec = build(ServerSpec, {"name": "fit", "model": model, **options})
    if other := [name for name in spec.options if name not in (*OPTIONS, "model")]:
        raise SpecError(f"{other[0]} does not change what fits.", why=f"options: {', '.join(OPTIONS)}")
    asked = demand_of(spec)
    device = this_machine(gpu, memory, gpus=asked.tensor * asked.pipeline)
    found = answer(model, device=device, demand=asked, revision=spec.revision)
    note("fitted", {"model": model})
    return found


def demand_of(spec: ServerSpec) -> Demand:
    """What a spec asks of memory."""
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
