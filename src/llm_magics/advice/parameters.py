"""How many parameters a configuration means: the weights' size where no file of weights is at hand to be measured.

Exact for the families named in docs/choosing.md (tests hold it against the published numbers), an estimate elsewhere.
Counted in two kinds, because quantization takes the matrices of the layers and leaves embeddings, norms and routers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Parameters:
    """Numbers of parameters: `linear` are the layers' matrices, of which `experts`; `rest` everything else."""

    linear: int
    rest: int = 0
    experts: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.linear + self.rest


# Families whose layer this file counts to the last parameter, multimodal towers aside.
EXACT = frozenset({
    "llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe", "qwen2_moe", "gemma", "gemma2", "gemma3",
    "gemma3_text", "deepseek_v2", "deepseek_v3",
})  # fmt: skip
_TWO_MATRICES = frozenset({"gpt2", "gpt_neox", "gptj", "opt", "phi", "falcon", "bloom", "starcoder2", "gpt_bigcode"})
_TIED = frozenset({"gemma", "gemma2", "gemma3", "gemma3_text", "gpt2", "bloom", "falcon", "opt", "cohere2"})
_FOUR_NORMS = frozenset({"gemma2", "gemma3", "gemma3_text"})
_QK_NORMS = frozenset({"qwen3", "qwen3_moe", "gemma3", "gemma3_text"})
_QKV_BIAS = frozenset({"qwen2", "qwen2_moe"})


def counted(text: Mapping[str, Any], family: str, config: Mapping[str, Any]) -> tuple[Parameters | None, list[str]]:
    """Parameters of a configuration, and what was not counted. None where the widths are not said."""
    try:
        found = _count(text, family)
    except KeyError:
        return None, ["its number of parameters cannot be told from the configuration"]
    notes = (
        [] if family in EXACT else [f"the number of parameters is an estimate: {family or 'its family'} is not known"]
    )
    if "vision_config" in config:
        notes.append("the vision tower is not counted")
    return found, notes


def _count(text: Mapping[str, Any], family: str) -> Parameters:
    hidden = int(_first(text, "hidden_size", "n_embd", "d_model"))
    layers = int(_first(text, "num_hidden_layers", "n_layer", "num_layers"))
    vocabulary = int(text["vocab_size"])
    tied = bool(text.get("tie_word_embeddings", family in _TIED))
    rest = vocabulary * hidden * (1 if tied else 2) + hidden
    linear = experts = 0
    attention, small = _attention(text, family, hidden)
    for number in range(layers):
        dense, routed, router = _mlp(text, family, hidden, number)
        linear += attention + dense + routed
        experts += routed
        rest += small + router + hidden * (4 if family in _FOUR_NORMS else 2)
    return Parameters(linear, rest, experts)


def _attention(text: Mapping[str, Any], family: str, hidden: int) -> tuple[int, int]:
    """One layer's matrices, and its biases and norms."""
    heads = int(_first(text, "num_attention_heads", "n_head"))
    if rank := text.get("kv_lora_rank"):
        nope, rope, value = (int(text[name]) for name in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"))
        if q_rank := text.get("q_lora_rank"):
            query, norms = q_rank * (hidden + heads * (nope + rope)), rank + q_rank
        else:
            query, norms = hidden * heads * (nope + rope), rank
        return query + hidden * (rank + rope) + rank * heads * (nope + value) + heads * value * hidden, norms
    kv_heads = (
        1 if text.get("multi_query") else int(text.get("num_key_value_heads") or text.get("num_kv_heads") or heads)
    )
    size = int(text.get("head_dim") or hidden // heads)
    matrices = hidden * size * (heads + 2 * kv_heads) + heads * size * hidden
    small = 2 * size if family in _QK_NORMS else 0
    if text.get("attention_bias"):
        small += size * (heads + 2 * kv_heads) + hidden
    elif text.get("attention_bias") is None and family in _QKV_BIAS:
        small += size * (heads + 2 * kv_heads)
    return matrices, small


def _mlp(text: Mapping[str, Any], family: str, hidden: int, number: int) -> tuple[int, int, int]:
    """Layer `number`: parameters of the part every token passes, of the experts, of the router."""
    dense = int(text.get("intermediate_size") or text.get("n_inner") or text.get("ffn_dim") or 4 * hidden)
    matrices = 2 if family in _TWO_MATRICES else 3
    count = int(_first_or_none(text, "num_local_experts", "num_experts", "n_routed_experts") or 0)
    if not count or _is_dense(text, number):
        return matrices * hidden * dense, 0, 0
    width = int(text.get("moe_intermediate_size") or dense)
    shared, router = 0, hidden * count
    if several := text.get("n_shared_experts"):
        shared = 3 * hidden * width * int(several)
    elif own := text.get("shared_expert_intermediate_size"):
        shared, router = 3 * hidden * int(own), router + hidden
    if family == "deepseek_v3":
        router += count  # the bias that balances the experts
    return shared, count * 3 * hidden * width, router


def _is_dense(text: Mapping[str, Any], number: int) -> bool:
    """Whether a layer of a mixture has no experts."""
    if number < int(text.get("first_k_dense_replace") or 0) or number in (text.get("mlp_only_layers") or ()):
        return True
    step = int(text.get("decoder_sparse_step") or text.get("moe_layer_freq") or 1)
    if "decoder_sparse_step" in text:
        return (number + 1) % step != 0
    return number % step != 0


def _first(text: Mapping[str, Any], *names: str) -> Any:
    found = _first_or_none(text, *names)
    if found is None:
        raise KeyError(names[0])
    return found


def _first_or_none(text: Mapping[str, Any], *names: str) -> Any:
    return next((text[name] for name in names if text.get(name) is not None), None)
