"""The shape of a model from its `config.json` or GGUF header: how many parameters, and what each layer keeps per token.

Field names differ between families (docs/choosing.md lists them); this is the only file that knows how. Formulas: the
attention specifications of vLLM (`vllm/v1/kv_cache_interface.py`) and the configuration classes of Transformers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from llm_magics.advice.parameters import Parameters, counted


@dataclass(frozen=True)
class Layer:
    """What one layer keeps of the tokens it has seen.

    Attributes
    ----------
    kind
        `full`: every token; `sliding`: the last `window`; `latent`: one compressed vector a token (DeepSeek's MLA),
        the same on every GPU; `state`: a fixed state per sequence (linear attention).
    values
        Numbers kept per token and KV head: key and value head sizes together; for `latent` per token.
    heads
        KV heads; 1 for `latent`.
    window
        Tokens, for `sliding`.
    state_bytes
        Bytes per sequence, for `state`.
    """

    kind: Literal["full", "sliding", "latent", "state"]
    values: int = 0
    heads: int = 1
    window: int = 0
    state_bytes: int = 0


@dataclass(frozen=True)
class Architecture:
    """A model as memory sees it.

    Attributes
    ----------
    family
        `model_type` of the configuration, or the GGUF architecture.
    layers
        Each layer's cache.
    context
        Longest sequence the model was made for, tokens; None where it is not said.
    hidden, intermediate, vocabulary
        Widths, for the memory that activations need.
    dtype
        Type of the weights as published: `bfloat16`, `float16`, `float32`.
    parameters
        How many, and of which kind.
    quantization
        The checkpoint's own `quantization_config`; empty when it has none.
    notes
        What could not be counted, for the person.
    """

    family: str
    layers: tuple[Layer, ...]
    context: int | None
    hidden: int
    intermediate: int
    vocabulary: int
    dtype: str
    parameters: Parameters | None
    quantization: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @cached_property
    def kinds(self) -> tuple[tuple[Layer, int], ...]:
        """Layers that keep alike, once each, and how many there are of them."""
        return tuple(Counter(self.layers).items())


def of_config(config: Mapping[str, Any]) -> Architecture:
    """The architecture that a `config.json` describes.

    Raises
    ------
    ValueError
        When it is no decoder of text whose layers and heads are said; the message names what is missing.
    """
    text = {**config, **config["text_config"]} if isinstance(config.get("text_config"), Mapping) else dict(config)
    family = str(text.get("model_type") or config.get("model_type") or "")
    layers, notes = _layers(text, family)
    whole, missing = counted(text, family, config)
    return Architecture(
        family=family,
        layers=layers,
        context=_whole(text, "max_position_embeddings", "n_positions", "max_seq_len", "n_ctx"),
        hidden=_needed(text, "hidden_size", "n_embd", "d_model"),
        intermediate=_intermediate(text),
        vocabulary=_whole(text, "vocab_size") or 0,
        dtype=str(text.get("dtype") or text.get("torch_dtype") or config.get("dtype") or config.get("torch_dtype")
                  or "bfloat16").removeprefix("torch."),
        parameters=whole,
        quantization=config.get("quantization_config") or text.get("quantization_config") or {},
        notes=(*notes, *missing),
    )  # fmt: skip


def of_gguf(facts: Mapping[str, Any], parameters: int | None = None) -> Architecture:
    """The architecture that a GGUF file's header describes.

    Raises
    ------
    ValueError
        When the header does not say how many layers and heads there are.
    """
    family = str(facts.get("general.architecture", ""))
    own = {key.removeprefix(f"{family}."): value for key, value in facts.items() if key.startswith(f"{family}.")}
    count, hidden = _needed(own, "block_count"), _needed(own, "embedding_length")
    heads = _needed(own, "attention.head_count")
    kv_heads = own.get("attention.head_count_kv", heads)
    key_size = int(own.get("attention.key_length") or hidden // heads)
    value_size = int(own.get("attention.value_length") or hidden // heads)
    notes = []
    if not isinstance(kv_heads, int):
        kv_heads = heads
        notes.append("the header gives KV heads per layer; the most possible is counted")
    window, pattern = own.get("attention.sliding_window"), own.get("attention.sliding_window_pattern")
    if own.get("attention.kv_lora_rank") and own.get("attention.key_length_mla"):
        full = Layer("latent", key_size)
    else:
        full = Layer("full", key_size + value_size, kv_heads)
    every = _SLIDING_PATTERNS.get(family, 0) if not isinstance(pattern, int) else pattern
    if window and not every:
        notes.append("sliding layers are counted as full: the header does not say which they are")
    layers = tuple(
        Layer("sliding", full.values, full.heads, int(window)) if window and every and (number + 1) % every else full
        for number in range(count)
    )
    return Architecture(
        family, layers, _whole(own, "context_length"), hidden, int(_one(own.get("feed_forward_length"), 4 * hidden)),
        int(_one(own.get("vocab_size"), 0)), "float16",
        Parameters(linear=parameters) if parameters else None, {"quant_method": "gguf"}, tuple(notes),
    )  # fmt: skip


# Every n-th layer sees everything, those between a window, where the configuration does not list each layer's kind.
_SLIDING_PATTERNS = {"gemma2": 2, "gemma3": 6, "gemma3_text": 6, "cohere2": 4, "gpt_oss": 2, "gpt-oss": 2}
_STATES = ("linear_attention", "mamba", "recurrent", "conv", "linear")


def _layers(text: Mapping[str, Any], family: str) -> tuple[tuple[Layer, ...], list[str]]:
    count = _needed(text, "num_hidden_layers", "n_layer", "num_layers")
    notes: list[str] = []
    if text.get("kv_lora_rank"):  # MLA; num_key_value_heads is there too and means nothing
        rope = int(text.get("qk_rope_head_dim") or 0)
        return (Layer("latent", int(text["kv_lora_rank"]) + rope),) * count, notes
    heads = _needed(text, "num_attention_heads", "n_head")
    kv_heads = (
        1 if text.get("multi_query") else int(text.get("num_key_value_heads") or text.get("num_kv_heads") or heads)
    )
    size = head_size(text, heads)
    full = Layer("full", 2 * size, kv_heads)
    kinds = _kinds(text, family, count)
    window = int(text.get("sliding_window") or text.get("attention_chunk_size") or 0)
    made = []
    for kind in kinds:
        if kind.startswith(_STATES) or "mamba" in kind:
            made.append(Layer("state", state_bytes=_state(text)))
            if not made[-1].state_bytes and not notes:
                notes.append(f"the state of its {kind} layers is not counted: the configuration does not say its size")
        elif kind in ("sliding_attention", "chunked_attention") and window:
            made.append(Layer("sliding", full.values, kv_heads, window))
        else:
            made.append(full)
    shared = int(text.get("num_kv_shared_layers") or 0)  # the last layers read the cache of earlier ones (Gemma 3n)
    return tuple(made[: count - shared]), notes


def _kinds(text: Mapping[str, Any], family: str, count: int) -> list[str]:
    """Each layer's kind in Transformers' words."""
    listed = text.get("layer_types")
    if isinstance(listed, list) and len(listed) == count:
        return [str(kind) for kind in listed]
    if interval := text.get("full_attention_interval"):  # Qwen3-Next
        return [
            "full_attention" if (number + 1) % int(interval) == 0 else "linear_attention" for number in range(count)
        ]
    if not text.get("sliding_window") or text.get("use_sliding_window") is False:
        return ["full_attention"] * count
    if "use_sliding_window" in text:  # Qwen2: the first layers see everything
        first = int(text.get("max_window_layers") or 0)
        return ["full_attention" if number < first else "sliding_attention" for number in range(count)]
    every = int(text.get("sliding_window_pattern") or _SLIDING_PATTERNS.get(family, 0))
    return ["full_attention" if every and (number + 1) % every == 0 else "sliding_attention" for number in range(count)]


def _state(text: Mapping[str, Any]) -> int:
    """Bytes of a gated-delta-net layer's state per sequence: the recurrent matrix in 32 bits and the convolution's."""
    try:
        keys, values = int(text["linear_num_key_heads"]), int(text["linear_num_value_heads"])
        key_size, value_size = int(text["linear_key_head_dim"]), int(text["linear_value_head_dim"])
        conv = int(text["linear_conv_kernel_dim"])
    except KeyError:
        return 0
    return 4 * values * key_size * value_size + 2 * (2 * keys * key_size + values * value_size) * (conv - 1)


def head_size(text: Mapping[str, Any], heads: int) -> int:
    """`head_dim`, which need not be hidden_size / heads; where absent it is."""
    return int(text.get("head_dim") or _needed(text, "hidden_size", "n_embd", "d_model") // heads)


def _intermediate(text: Mapping[str, Any]) -> int:
    """The widest MLP a token passes: of a mixture, that of the experts it is given to."""
    dense = _whole(text, "intermediate_size", "n_inner", "ffn_dim") or 4 * _needed(
        text, "hidden_size", "n_embd", "d_model"
    )
    chosen = _whole(text, "num_experts_per_tok", "num_experts_per_token", "top_k_experts")
    expert = _whole(text, "moe_intermediate_size")
    return max(dense if not expert else 0, (expert or dense) * chosen) if chosen else dense


def _whole(text: Mapping[str, Any], *names: str) -> int | None:
    return next((int(value) for name in names if isinstance(value := text.get(name), (int, float))
                 and math.isfinite(value)), None)  # fmt: skip


def _needed(text: Mapping[str, Any], *names: str) -> int:
    found = _whole(text, *names)
    if not found:
        raise ValueError(f"the configuration does not say {names[0]}")
    return found


def _one(value: Any, otherwise: int) -> Any:
    return value if isinstance(value, (int, float)) else otherwise
