"""The spec of a server: portable options with vLLM's names, because the field knows them.

What an engine lacks is refused by its adapter (`engines.base`), not here: this file knows no engine.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from llm_magics.spec.quantities import (
    Cluster,
    Collector,
    Count,
    Flag,
    Name,
    Seconds,
    Text,
    Tokens,
    Variable,
    VariableName,
    Whole,
)

# What does not change the running server: two specs that differ only here are the same server.
_NOT_IDENTITY = ("name", "keep", "idle", "timeout")


def _one_gpu(value: Any) -> Any:
    return [value] if isinstance(value, int) and not isinstance(value, bool) else value


class ServerSpec(BaseModel):
    """One server as a user asked for it. Every option but the name has a default; None means "the engine's own"."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, protected_namespaces=(), use_attribute_docstrings=True
    )

    name: Name
    """A Python name; notebook, terminal and sidebar find the server by it."""
    engine: Text = "llamacpp"
    """The software that serves (`%llm engines` lists them)."""
    model: Text = "tiny"
    """`tiny` (ships with the package), a local path, or a hub id."""
    revision: Text | None = None
    """Branch, tag or commit of a hub model."""
    tokenizer: Text | None = None
    """Path or hub id of the tokenizer, where it is not the model's own."""
    served_model_name: Text | None = None
    """The name clients put in `model`."""
    dtype: Text | None = None
    """Type of weights and activations: `auto`, `bfloat16`, `float16`, `float32`."""
    quantization: Text | None = None
    """Weight quantization, in the engine's words (`fp8`, `awq`, `gptq` …)."""
    kv_cache_dtype: Text | None = None
    """Type of the KV cache (`auto`, `fp8`, `q8_0` …)."""
    max_model_len: Tokens | Literal["auto"] | None = None
    """Longest prompt and answer together, tokens: 8192, 8k, 8K or auto."""
    gpu_memory_utilization: float | None = Field(default=None, gt=0, le=1)
    """Share of GPU memory the engine may use, 0 to 1."""
    tensor_parallel_size: Count | None = None
    """GPUs that share each layer."""
    pipeline_parallel_size: Count | None = None
    """GPUs (or nodes) that each hold some layers."""
    data_parallel_size: Count | None = None
    """Whole copies of the model."""
    max_num_seqs: Count | None = None
    """Requests served at the same time."""
    max_num_batched_tokens: Tokens | None = None
    """Tokens processed in one step."""
    enable_prefix_caching: Flag | None = None
    """Reuse the KV cache of prompts that begin alike."""
    enable_chunked_prefill: Flag | None = None
    """Split long prompts between decode steps."""
    speculative: dict[str, Any] | None = None
    """Speculative decoding, as a mapping in vLLM's words: {method: ngram, num_speculative_tokens: 4}."""
    enable_sleep_mode: Flag | None = None
    """Lets it give its GPU memory back while it runs: `%llm sleep NAME`, `%llm wake NAME`."""
    load_format: Text | None = None
    """How weights are read; `dummy` makes random ones."""
    seed: Whole | None = None
    """Seed of the engine."""
    trust_remote_code: Flag | None = None
    """Run Python code that comes with the model; off unless you know it."""
    traces: Collector | None = None
    """Where OpenTelemetry traces go: http://HOST:4317 (Triton: http://HOST:4318/v1/traces)."""
    env: dict[VariableName, Variable] = Field(default_factory=dict)
    """Environment variables for the engine: {NAME: value}; on a line `--env NAME=value`, once for each."""
    args: list[str] = Field(default_factory=list)
    """Further arguments of the engine's own, as a list."""
    lora_modules: dict[Name, Text] | None = None
    """LoRA adapters to load beside the model, by the name a request gives as its model: {NAME: path or hub id}."""

    gpus: Annotated[list[int] | Literal["auto", "none"] | None, BeforeValidator(_one_gpu)] = None
    """GPU numbers, `auto` (the freest that nobody uses), or `none`."""
    host: Literal["127.0.0.1", "localhost", "::1"] = "127.0.0.1"
    """Loopback address to listen on."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """Port; a free one when left out."""
    on: Literal["local", "docker", "podman", "apptainer"] | Cluster = "local"
    """Where it runs: `local`; in a container by `docker`, `podman` or `apptainer`; on a node of a Ray cluster by `ray`
    (the one of this machine, or of RAY_ADDRESS) or `ray://HOST:PORT`."""
    num_cpus: Count = 1
    """CPUs that a Ray cluster reserves for it, and that llama.cpp computes on there (on: ray)."""
    image: Text | None = None
    """Container image, for `on: docker` and its like; the engine's official one when left out."""
    python: Text | None = None
    """Python interpreter that has the engine; remembered."""
    bin: Text | None = None
    """The engine's binary; remembered."""

    keep: Literal["kernel", "detached", "cell"] = "kernel"
    """`kernel`: until 10 minutes after its notebook; `detached`: until stopped; `cell`: with its cell or script."""
    idle: Seconds | None = None
    """Stop after this long without a request (30m, 2h)."""
    timeout: Seconds = 900.0
    """Longest wait until ready; then it is stopped."""

    @property
    def far(self) -> bool:
        """Whether it runs on a cluster's node."""
        return self.on.startswith("ray")

    @property
    def options(self) -> dict[str, Any]:
        """Every portable option that was set, by name: what an adapter has to translate or refuse."""
        set_ = self.model_dump(exclude_none=True)
        return {key: set_[key] for key in PORTABLE if key in set_ and set_[key] not in ({}, [])}

    @property
    def identity(self) -> dict[str, Any]:
        """What makes two specs the same server: everything but its name and how long it lives."""
        return self.model_dump(exclude_none=True, exclude=set(_NOT_IDENTITY))

    @property
    def reuse_key(self) -> str:
        """Hex digest of `identity`."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    def differences(self, other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Options that differ from another spec's `identity`: name -> (theirs, ours)."""
        ours = self.identity
        return {
            key: (other.get(key), ours.get(key))
            for key in [*ours, *(key for key in other if key not in ours)]
            if other.get(key) != ours.get(key)
        }


PORTABLE = tuple(
    key
    for key in ServerSpec.model_fields
    if key
    not in {
        "name",
        "engine",
        "gpus",
        "host",
        "port",
        "python",
        "bin",
        "on",
        "num_cpus",
        "image",
        "keep",
        "idle",
        "timeout",
        "env",
        "args",
    }
)
