"""Memory of one GPU (or of the machine) against what a model wants of it: pure arithmetic, in bytes.

Formulas: docs/choosing.md, which names their sources. The weights and the cache are exact where their inputs are;
what activations, graphs and the runtime take is an estimate, and every result says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from llm_magics.advice.architectures import Architecture, Layer
from llm_magics.advice.model_facts import ModelFacts
from llm_magics.advice.weights import BYTES

GIB = 1 << 30
BLOCK = 16  # tokens; vLLM's and TensorRT-LLM's pages hold 16 or 32
USUAL_SHARE = 0.92  # of a GPU's memory, vLLM's default: config/cache.py of 0.32

# Bytes per number in the cache. Blocks of 32 numbers with a 16-bit scale (and minimum) are llama.cpp's.
KV_BYTES = {
    **BYTES, "f32": 4.0, "f16": 2.0, "bf16": 2.0, "fp8": 1.0, "fp8_e4m3": 1.0, "fp8_e5m2": 1.0,
    "fp8_inc": 1.0, "q8_0": 34 / 32, "q5_1": 24 / 32, "q5_0": 22 / 32, "q4_1": 20 / 32, "q4_0": 18 / 32,
    "iq4_nl": 18 / 32, "nvfp4": 9 / 16,
}  # fmt: skip
LATENT_BYTES = {"fp8_ds_mla": 656, "nvfp4_ds_mla": 352}  # a token and layer, scales included (vLLM)


@dataclass(frozen=True)
class Demand:
    """What is asked of a model, in the words of `ServerSpec`; None is the engine's own choice."""

    context: int | None = None
    sequences: int = 1
    tensor: int = 1
    pipeline: int = 1
    dtype: str | None = None
    quantization: str | None = None
    kv_cache_dtype: str | None = None
    share: float | None = None
    batched_tokens: int | None = None
    cache: int | None = None  # bytes of KV cache that the engine is told to take, whatever is free


@dataclass(frozen=True)
class Device:
    """Where it is to run: `memory` in bytes of one GPU, or of the machine; `count` of GPUs there (None: any).

    `free` are the bytes of a GPU that nobody holds (None: all), `held` says who has the others; `capability` is
    NVIDIA's compute capability (None: not known, or of another maker).
    """

    name: str
    memory: int
    kind: Literal["gpu", "cpu"] = "gpu"
    count: int | None = None
    free: int | None = None
    held: str = ""
    capability: float | None = None


def cache_bytes(architecture: Architecture, tokens: int, dtype: str, *, tensor: int = 1, pipeline: int = 1) -> int:
    """Bytes that one sequence of `tokens` keeps on one GPU.

    Σ over layers: full 2 · kv_heads · head_dim · bytes · tokens; sliding the same for at most the window; latent (MLA)
    (kv_lora_rank + qk_rope_head_dim) · bytes · tokens, on every GPU; state a constant. KV heads are divided among
    tensor-parallel GPUs down to one, layers among pipeline stages.
    """
    return _staged(sum(many * _kept(layer, tokens, dtype, tensor) for layer, many in architecture.kinds), pipeline)


def per_token(architecture: Architecture, dtype: str, *, tensor: int = 1, pipeline: int = 1) -> int:
    """Bytes that each further token of a long sequence takes on one GPU: of the layers that keep every token."""
    growing = ((layer, many) for layer, many in architecture.kinds if layer.kind in ("full", "latent"))
    return _staged(sum(many * _kept(layer, 1, dtype, tensor) for layer, many in growing), pipeline)


def _kept(layer: Layer, tokens: int, dtype: str, tensor: int) -> float:
    if layer.kind == "state":
        return layer.state_bytes / tensor
    if layer.kind == "latent":
        return tokens * (LATENT_BYTES.get(dtype) or layer.values * KV_BYTES.get(dtype, 2.0))
    seen = min(tokens, layer.window) if layer.kind == "sliding" else tokens
    return seen * layer.values * max(1, math.ceil(layer.heads / tensor)) * KV_BYTES.get(dtype, 2.0)


def _staged(total: float, pipeline: int) -> int:
    return math.ceil(total / pipeline)


@dataclass(frozen=True)
class Balance:
    """One demand on one device; every size is of one GPU (or of the machine).

    `doubt` is the part of the estimated overhead that counts: 1 to advise, less to refuse.
    """

    facts: ModelFacts
    demand: Demand
    device: Device
    doubt: float = 1.0

    @property
    def architecture(self) -> Architecture:
        """The model's."""
        return self.facts.architecture

    @cached_property
    def weights(self) -> int:
        """Bytes of weights on one GPU."""
        return math.ceil(self.facts.weights(self.demand.dtype, self.demand.quantization)[0] / self.gpus)

    @property
    def gpus(self) -> int:
        """GPUs that share the model."""
        return self.demand.tensor * self.demand.pipeline

    @property
    def kv_dtype(self) -> str:
        """Type of the cache: as asked, else the model's."""
        asked = self.demand.kv_cache_dtype
        if asked not in (None, "auto"):
            return str(asked)
        own = self.demand.dtype if self.demand.dtype not in (None, "auto") else self.architecture.dtype
        return own if own in ("float32", "float16", "bfloat16") else "bfloat16"

    @property
    def unknown(self) -> tuple[str, ...]:
        """What had to be assumed, because nothing here knows how many bytes it takes."""
        found = list(self.facts.unknown(self.demand.quantization))
        if self.kv_dtype not in KV_BYTES and self.kv_dtype not in LATENT_BYTES:
            found.append(f"how much a KV cache in {self.kv_dtype} takes is not known; 16 bits are counted")
        latent = any(layer.kind == "latent" for layer in self.architecture.layers)
        if self.kv_dtype in LATENT_BYTES and not latent:
            found.append(
                f"{self.kv_dtype} is for latent attention (MLA), which this model has not; 16 bits are counted"
            )
        return tuple(found)

    @property
    def budget(self) -> int:
        """Bytes the engine may take."""
        if self.device.kind == "cpu":
            return self.device.memory
        share = int(self.device.memory * (self.demand.share or USUAL_SHARE))
        return share if self.device.free is None else min(share, self.device.free)

    @cached_property
    def overhead(self) -> int:
        """Bytes of activations, logits, CUDA graphs and the runtime itself: an estimate."""
        if self.facts.format == "gguf":
            return self._llamacpp_overhead()
        own, tokens = self.architecture, self.batched_tokens
        warm = 1024 if self.device.memory >= 70 * GIB and self.device.kind == "gpu" else 256  # sequences of the warm-up
        activations = tokens * 2 * (3 * own.intermediate // self.demand.tensor + 6 * own.hidden)
        logits = 2 * 4 * warm * own.vocabulary // self.demand.tensor
        if self.device.kind == "cpu":
            return 3 * GIB // 2 + activations  # the process with torch in it: 1.4 to 1.7 GiB
        runtime = GIB * 2 // 5 + (GIB * 2 // 5 if self.gpus > 1 else 0)  # CUDA context; NCCL's buffers
        return activations + logits + runtime + GIB // 2  # CUDA graphs

    def _llamacpp_overhead(self) -> int:
        """llama.cpp's compute buffer for 512 tokens, and the CUDA context."""
        own = self.architecture
        buffer = 4 * 512 * (own.vocabulary + 2 * own.intermediate + 4 * own.hidden)
        return buffer + (GIB * 2 // 5 if self.device.kind == "gpu" else GIB // 10)

    @property
    def batched_tokens(self) -> int:
        """Tokens of one step: as asked, else vLLM's default for a device of this size."""
        if self.demand.batched_tokens:
            return self.demand.batched_tokens
        if self.device.kind == "cpu" or self.device.memory < 70 * GIB or "A100" in self.device.name:
            return 2048
        return 16384 if self.device.memory >= 160 * GIB else 8192

    @property
    def room(self) -> int:
        """Bytes left for the cache, or those it is told to take; negative when not even the weights fit."""
        left = self.budget - self.weights - int(self.overhead * self.doubt)
        return left if self.demand.cache is None else min(left, self.demand.cache)

    @property
    def context(self) -> int:
        """Tokens of one sequence: as asked, else the model's own (8192 where it says none)."""
        return self.demand.context or self.architecture.context or 8192

    def sequence(self, tokens: int) -> int:
        """Bytes of one sequence, in whole pages."""
        pages = math.ceil(tokens / BLOCK) * BLOCK
        return cache_bytes(
            self.architecture, pages, self.kv_dtype, tensor=self.demand.tensor, pipeline=self.demand.pipeline
        )

    def in_flight(self, tokens: int) -> int:
        """Bytes that sliding layers need beyond their window while a step's tokens pass, once for all sequences."""
        sliding = ((layer, many) for layer, many in self.architecture.kinds if layer.kind == "sliding")
        extra = (
            many
            * _kept(
                replace(layer, kind="full"),
                min(self.batched_tokens, max(0, tokens - layer.window)),
                self.kv_dtype,
                self.demand.tensor,
            )
            for layer, many in sliding
        )
        return _staged(sum(extra), self.demand.pipeline)

    @property
    def tokens_in_cache(self) -> int:
        """Tokens for which there is room, all sequences together (0: none).

        Where layers keep but a window or a state, that depends on the sequences' length: those of the asked context.
        """
        each = per_token(self.architecture, self.kv_dtype, tensor=self.demand.tensor, pipeline=self.demand.pipeline)
        if not each or any(layer.kind in ("sliding", "state") for layer in self.architecture.layers):
            return int(self.concurrency(self.context) * self.context)
        return max(0, self.room) // each

    def concurrency(self, tokens: int) -> float:
        """Sequences of so many tokens that the cache holds at once."""
        room = self.room - self.in_flight(tokens)
        return max(0.0, room / max(1, self.sequence(tokens)))

    def vllm_says(self, tokens: int, block: int = BLOCK) -> float:
        """The `Maximum concurrency` that vLLM prints: each sequence counted with a whole step in flight.

        For models with sliding layers it is less than `concurrency`, because sequences do not all take a step of
        that size at once. `block` is 16 tokens on a GPU, 128 on a CPU. Source: `vllm/v1/kv_cache_interface.py`.
        """
        return self.room / max(1, self._admitted(tokens, block))

    def _admitted(self, tokens: int, block: int) -> float:
        total = 0.0
        for layer, many in self.architecture.kinds:
            kept = math.ceil(tokens / block) * block
            if layer.kind == "sliding":
                bound = min(layer.window - 1 + self.batched_tokens, tokens)
                layer, kept = replace(layer, kind="full"), (math.ceil(bound / block) + 1) * block
            total += many * _kept(layer, kept, self.kv_dtype, self.demand.tensor)
        return total / self.demand.pipeline

    def longest(self, sequences: int = 1) -> int:
        """The longest context, at most the model's, of which so many sequences fit at once; 0 when none does."""
        low, high = 0, max(self.architecture.context or 0, self.context)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.concurrency(middle) >= sequences else (low, middle - 1)
        return low

    @property
    def fits(self) -> bool:
        """Whether the weights fit with one sequence of the asked context: what an engine needs to start."""
        return self.concurrency(self.context) >= 1
