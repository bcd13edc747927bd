"""The spec of a server: portable options with vLLM's names, because the field knows them.

What an engine lacks is refused by its adapter (`engines.base`), not here: this file knows no engine.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from llm_magics.spec.quantities import Count, Flag, Name, Seconds, Text, Tokens, Whole

# What does not change the running server: two specs that differ only here are the same server.
_NOT_IDENTITY = ("name", "keep", "idle", "timeout")


def _one_gpu(value: Any) -> Any:
    return [value] if isinstance(value, int) and not isinstance(value, bool) else value


class ServerSpec(BaseModel):
    """One server as a user asked for it. Every option but the name has a default; None means "the engine's own"."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())

    name: Name
    engine: Text = "llamacpp"
    model: Text = "tiny"
    revision: Text | None = None
    tokenizer: Text | None = None
    served_model_name: Text | None = None
    dtype: Text | None = None
    quantization: Text | None = None
    kv_cache_dtype: Text | None = None
    max_model_len: Tokens | Literal["auto"] | None = None
    gpu_memory_utilization: float | None = Field(default=None, gt=0, le=1)
    tensor_parallel_size: Count | None = None
    pipeline_parallel_size: Count | None = None
    data_parallel_size: Count | None = None
    max_num_seqs: Count | None = None
    max_num_batched_tokens: Tokens | None = None
    enable_prefix_caching: Flag | None = None
    enable_chunked_prefill: Flag | None = None
    speculative: dict[str, Any] | None = None
    load_format: Text | None = None
    seed: Whole | None = None
    trust_remote_code: Flag | None = None
    env: dict[str, str] = Field(default_factory=dict)
    args: list[str] = Field(default_factory=list)
    image: Text | None = None

    # Where it runs.
    gpus: Annotated[list[int] | Literal["auto", "none"] | None, BeforeValidator(_one_gpu)] = None
    host: Literal["127.0.0.1", "localhost", "::1"] = "127.0.0.1"
    port: int | None = Field(default=None, ge=1, le=65535)
    python: Text | None = None
    bin: Text | None = None

    # How long it lives.
    keep: Literal["kernel", "detached", "cell"] = "kernel"
    idle: Seconds | None = None
    timeout: Seconds = 900.0

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
        "keep",
        "idle",
        "timeout",
        "env",
        "args",
    }
)
