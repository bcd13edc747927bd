"""Configurations of a few well-known models, so that `%llm fit` answers for them with no network and no cache.

Only the fields that memory depends on, as in each model's published config.json; the tests hold the parameters they
give against the published numbers. A model that is on this machine is read from its own files instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

SOURCE = "llm-magics' table of published config.json files (November 2026)"

_LLAMA_31 = {"model_type": "llama", "dtype": "bfloat16", "vocab_size": 128256, "max_position_embeddings": 131072,
             "num_key_value_heads": 8, "tie_word_embeddings": False}  # fmt: skip
_LLAMA_8B = {**_LLAMA_31, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
             "num_attention_heads": 32}  # fmt: skip
_LLAMA_70B = {**_LLAMA_31, "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
              "num_attention_heads": 64}  # fmt: skip
_QWEN25_7B = {
    "model_type": "qwen2", "dtype": "bfloat16", "vocab_size": 152064, "max_position_embeddings": 32768,
    "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
    "num_key_value_heads": 4, "use_sliding_window": False, "sliding_window": 131072, "tie_word_embeddings": False,
}  # fmt: skip
_QWEN3 = {"model_type": "qwen3", "dtype": "bfloat16", "vocab_size": 151936, "max_position_embeddings": 40960,
          "num_key_value_heads": 8, "head_dim": 128, "use_sliding_window": False}  # fmt: skip
_MISTRAL_7B = {
    "model_type": "mistral", "dtype": "bfloat16", "vocab_size": 32768, "max_position_embeddings": 32768,
    "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "sliding_window": None, "tie_word_embeddings": False,
}  # fmt: skip
_MIXTRAL = {
    **_MISTRAL_7B, "model_type": "mixtral", "vocab_size": 32000, "num_local_experts": 8, "num_experts_per_tok": 2,
}  # fmt: skip
_DEEPSEEK_V3 = {
    "model_type": "deepseek_v3", "dtype": "bfloat16", "vocab_size": 129280, "max_position_embeddings": 163840,
    "hidden_size": 7168, "intermediate_size": 18432, "moe_intermediate_size": 2048, "num_hidden_layers": 61,
    "num_attention_heads": 128, "num_key_value_heads": 128, "n_routed_experts": 256, "n_shared_experts": 1,
    "num_experts_per_tok": 8, "first_k_dense_replace": 3, "moe_layer_freq": 1, "kv_lora_rank": 512,
    "q_lora_rank": 1536, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128,
    "tie_word_embeddings": False,
    "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]},
}  # fmt: skip
_GEMMA_3_12B = {
    "model_type": "gemma3", "dtype": "bfloat16", "vision_config": {}, "text_config": {
        "model_type": "gemma3_text", "vocab_size": 262208, "max_position_embeddings": 131072, "hidden_size": 3840,
        "intermediate_size": 15360, "num_hidden_layers": 48, "num_attention_heads": 16, "num_key_value_heads": 8,
        "head_dim": 256, "sliding_window": 1024, "sliding_window_pattern": 6,
    },
}  # fmt: skip

CONFIGS: Mapping[str, Mapping[str, Any]] = MappingProxyType({
    "Qwen/Qwen3-0.6B": {**_QWEN3, "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28,
                        "num_attention_heads": 16, "tie_word_embeddings": True},
    "Qwen/Qwen3-8B": {**_QWEN3, "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36,
                      "num_attention_heads": 32, "tie_word_embeddings": False},
    "Qwen/Qwen2.5-7B": {**_QWEN25_7B, "max_position_embeddings": 131072},
    "Qwen/Qwen2.5-7B-Instruct": _QWEN25_7B,
    "meta-llama/Llama-3.1-8B": _LLAMA_8B,
    "meta-llama/Llama-3.1-8B-Instruct": _LLAMA_8B,
    "meta-llama/Llama-3.1-70B": _LLAMA_70B,
    "meta-llama/Llama-3.1-70B-Instruct": _LLAMA_70B,
    "mistralai/Mistral-7B-v0.3": _MISTRAL_7B,
    "mistralai/Mistral-7B-Instruct-v0.3": _MISTRAL_7B,
    "mistralai/Mixtral-8x7B-v0.1": _MIXTRAL,
    "mistralai/Mixtral-8x7B-Instruct-v0.1": _MIXTRAL,
    "deepseek-ai/DeepSeek-V3": _DEEPSEEK_V3,
    "google/gemma-3-12b-it": _GEMMA_3_12B,
    "google/gemma-3-12b-pt": _GEMMA_3_12B,
})  # fmt: skip
