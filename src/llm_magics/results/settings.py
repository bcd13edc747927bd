"""What the servers of a comparison were started with and differ in.

It may be the very thing that is compared, two settings of one engine say, so it is named and not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llm_magics.results.run import Run

# options of `ServerSpec` that make another computation of the same model
_OF_RESULT = ("dtype", "quantization", "kv_cache_dtype", "max_model_len")
# and those that are about speed only: named between servers of one engine, for others have other words for them
_OF_SPEED = (
    "revision", "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "gpu_memory_utilization",
    "max_num_seqs", "max_num_batched_tokens", "enable_prefix_caching", "enable_chunked_prefill", "load_format",
    "lora_modules", "args", "on",
)  # fmt: skip


def differing(sides: Mapping[str, Sequence[Run]]) -> Iterator[str]:
    """One sentence each: other models, speculative decoding that is not the same, and all other settings together.

    Servers whose settings are not known (URLs, other tools' runs) have nothing to differ in.
    """
    models = [runs[0].header.get("model") for runs in sides.values()]
    if all(models) and _differ(models):
        yield f"the models are not the same: {_each(sides, models)}"
    specs = _specs(sides)
    if len(specs) < len(sides):
        return
    methods = [_method(spec.get("speculative")) for spec in specs]
    if _differ(methods):
        yield f"speculative decoding is not the same: {_each(sides, methods)}"
    engines = [runs[0].header.get("engine") for runs in sides.values()]
    named = _OF_RESULT if _differ(engines) else (*_OF_RESULT, *_OF_SPEED)
    said = {key: [_set(spec.get(key)) for spec in specs] for key in named}
    apart = [f"{key} ({_each(sides, values)})" for key, values in said.items() if _differ(values)]
    if apart:
        yield f"they differ in: {', '.join(apart)}"


def same_defaults(sides: Mapping[str, Sequence[Run]]) -> bool:
    """Whether what a server does where a request says nothing is the same: one engine, one version, one model."""
    told = [
        [*(runs[0].header.get(key) for key in ("engine", "engine_version", "model")), *_arguments(runs[0])]
        for runs in sides.values()
    ]
    return not _differ(told)


def _specs(sides: Mapping[str, Sequence[Run]]) -> list[Mapping[str, Any]]:
    return [spec for runs in sides.values() if isinstance(spec := runs[0].header.get("spec"), dict)]


def _arguments(run: Run) -> list[Any]:
    spec = run.header.get("spec")
    return list(spec.get("args") or []) if isinstance(spec, dict) else []


def _set(value: Any) -> Any:
    return "left out" if value is None or value in ({}, []) else value


def _method(speculative: Any) -> str:
    if not isinstance(speculative, dict) or not speculative:
        return "none"
    return str(speculative.get("method") or "draft model")


def _differ(values: Sequence[Any]) -> bool:
    return any(value != values[0] for value in values[1:])


def _each(labels: Mapping[str, Any], values: Sequence[Any]) -> str:
    return ", ".join(f"{label} {value}" for label, value in zip(labels, values, strict=True))
