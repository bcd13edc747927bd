"""Writes the trained model twice, as a Hugging Face folder and as a GGUF file, from the same rounded numbers."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from tiny_model import grid
from tiny_model.tokenizer import CHAT_TEMPLATE, END_OF_TEXT, SPECIAL, TURN_END

GGUF_FILE = "tiny-q8_0.gguf"
BLOCK_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def rounded(state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Weights as both files will hold them: matrices on the grid, vectors rounded to bfloat16. The head is tied."""
    found = {}
    for name, tensor in state.items():
        if name == "lm_head.weight":
            continue
        values = tensor.detach().float()
        found[name] = grid.round_to_grid(values.numpy()) if values.ndim == 2 else values.bfloat16().float().numpy()
    return found


def gguf_name(name: str) -> str:
    """`model.layers.0.mlp.up_proj.weight` -> `blk.0.ffn_up.weight`."""
    outer = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if name in outer:
        return outer[name]
    _, _, layer, *inner, _ = name.split(".")
    return f"blk.{layer}.{BLOCK_NAMES['.'.join(inner)]}.weight"


def permute(weights: np.ndarray, heads: int) -> np.ndarray:
    """Rows of q or k in the order of llama.cpp, which rotates neighbours where Transformers rotates halves."""
    return weights.reshape(heads, 2, -1, weights.shape[1]).swapaxes(1, 2).reshape(weights.shape)


def write_safetensors(weights: dict[str, np.ndarray], folder: Path) -> None:
    tensors = {name: torch.from_numpy(values.copy()).bfloat16() for name, values in weights.items()}
    file = folder / "model.safetensors"
    save_file(tensors, str(file), metadata={"format": "pt"})
    file.chmod(0o644)  # save_file leaves it readable by its owner alone


def write_configs(config: dict, folder: Path) -> None:
    generation = {"bos_token_id": 0, "eos_token_id": [2, 0], "pad_token_id": 0, "do_sample": False}
    for name, content in (("config.json", config), ("generation_config.json", generation)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_gguf(weights: dict[str, np.ndarray], config: dict, tokenizer: Tokenizer, folder: Path) -> None:
    writer = gguf.GGUFWriter(str(folder / GGUF_FILE), "llama")
    writer.add_name("llm-magics tiny")
    writer.add_description("Demonstration model of llm-magics: for trying engines, not for knowledge")
    writer.add_license("apache-2.0")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    _add_tokenizer(writer, tokenizer)
    for name, values in weights.items():
        if name.endswith("q_proj.weight"):
            values = permute(values, config["num_attention_heads"])
        elif name.endswith("k_proj.weight"):
            values = permute(values, config["num_key_value_heads"])
        if values.ndim == 1:
            writer.add_tensor(gguf_name(name), values.astype(np.float32))
        else:
            packed = grid.to_q8_0(values)
            writer.add_tensor(gguf_name(name), packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([control if token in SPECIAL else normal for token in tokens])
    writer.add_token_merges(merges)
    writer.add_eos_token_id(tokenizer.token_to_id(TURN_END))
    writer.add_bos_token_id(tokenizer.token_to_id(END_OF_TEXT))
    writer.add_pad_token_id(tokenizer.token_to_id(END_OF_TEXT))
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
