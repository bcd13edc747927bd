"""The shipped model: if one of these fails, `%serve tiny` breaks or engines are compared on unequal weights."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import gguf
import numpy as np
import pytest
from tokenizers import Tokenizer

from llm_magics import models

FOLDER = models.path(models.TINY, "safetensors")
FILES = [
    "README.md",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tiny-q8_0.gguf",
    "tokenizer.json",
    "tokenizer_config.json",
]
LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


@pytest.fixture(scope="module")
def config() -> dict:
    return json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(FOLDER / "tokenizer.json"))


@pytest.fixture(scope="module")
def reader() -> gguf.GGUFReader:
    return gguf.GGUFReader(models.path(models.TINY, "gguf"))


def bfloat16_tensors(file: Path) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file as float32; read by hand, since numpy has no bfloat16."""
    raw = file.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    found = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        assert entry["dtype"] == "BF16"
        begin, end = entry["data_offsets"]
        bits = np.frombuffer(raw[start + begin : start + end], dtype="<u2").astype(np.uint32) << 16
        found[name] = bits.view(np.float32).reshape(entry["shape"])
    return found


def gguf_tensors(reader: gguf.GGUFReader, config: dict) -> dict[str, np.ndarray]:
    """The tensors of the GGUF file under the names, and with the rows in the order, of Transformers."""
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    outer = {"token_embd": "model.embed_tokens.weight", "output_norm": "model.norm.weight"}
    found = {}
    for tensor in reader.tensors:
        values = q8_0(tensor) if tensor.tensor_type == gguf.GGMLQuantizationType.Q8_0 else tensor.data
        parts = tensor.name.removesuffix(".weight").split(".")
        if parts[0] in outer:
            found[outer[parts[0]]] = values
            continue
        if parts[2] in heads:
            swapped = values.reshape(heads[parts[2]], -1, 2, values.shape[1]).swapaxes(1, 2)
            values = swapped.reshape(values.shape)
        found[f"model.layers.{parts[1]}.{LAYER_NAMES[parts[2]]}.weight"] = values
    return found


def q8_0(tensor: gguf.ReaderTensor) -> np.ndarray:
    columns, rows = (int(size) for size in tensor.shape)
    blocks = np.asarray(tensor.data, dtype=np.uint8).reshape(rows, columns // 32, 34)
    scales = blocks[..., :2].copy().view(np.float16).astype(np.float32)
    return (scales * blocks[..., 2:].copy().view(np.int8)).reshape(rows, columns)


@pytest.mark.parametrize("name", FILES)
def test_file_ships(name: str) -> None:
    assert (FOLDER / name).stat().st_size > 0


def test_nothing_else_ships() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(FILES)


def test_wheel_stays_small() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in FILES:
            archive.write(FOLDER / name, name)
    assert len(packed.getvalue()) < 9_000_000


def test_both_files_hold_the_same_numbers(reader: gguf.GGUFReader, config: dict) -> None:
    ours, theirs = bfloat16_tensors(FOLDER / "model.safetensors"), gguf_tensors(reader, config)
    assert set(ours) == set(theirs)
    for name, values in ours.items():
        assert np.array_equal(values, theirs[name]), name


def test_every_number_is_finite() -> None:
    for name, values in bfloat16_tensors(FOLDER / "model.safetensors").items():
        assert np.isfinite(values).all(), name


def test_gguf_says_what_llama_cpp_needs(reader: gguf.GGUFReader, config: dict) -> None:
    def field(name: str) -> object:
        return reader.fields[name].contents()

    assert field("general.architecture") == "llama"
    assert field("general.file_type") == gguf.LlamaFileType.MOSTLY_Q8_0
    assert field("llama.attention.key_length") == field("llama.attention.value_length") == config["head_dim"]
    assert field("llama.context_length") == config["max_position_embeddings"]
    assert field("tokenizer.ggml.model") == "gpt2"
    assert field("tokenizer.ggml.pre") == "gpt-2"
    assert field("tokenizer.ggml.eos_token_id") == config["eos_token_id"]
    assert field("tokenizer.ggml.add_bos_token") is False


def test_both_files_have_the_same_vocabulary(reader: gguf.GGUFReader, tokenizer: Tokenizer, config: dict) -> None:
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    assert len(tokens) == config["vocab_size"]
    assert tokens == [tokenizer.id_to_token(number) for number in range(config["vocab_size"])]


def test_both_files_have_the_same_chat_template(reader: gguf.GGUFReader) -> None:
    settings = json.loads((FOLDER / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert settings["chat_template"] == reader.fields["tokenizer.chat_template"].contents()
    assert settings["eos_token"] == "<|im_end|>"


@pytest.mark.parametrize(
    "text",
    [
        "Explain PagedAttention in one sentence.",
        "Größe: 3 µs, naïve 漢字 🙂",
        " two  spaces\n\nand\tlines",
        "",
    ],
)
def test_tokenizer_gives_back_any_text(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_special_tokens_are_single_tokens(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("<|endoftext|><|im_start|><|im_end|>").ids == [0, 1, 2]


def test_generation_is_greedy_unless_asked_otherwise() -> None:
    settings = json.loads((FOLDER / "generation_config.json").read_text(encoding="utf-8"))
    assert settings["do_sample"] is False
    assert not {"temperature", "top_p", "top_k", "max_new_tokens", "max_length"} & set(settings)


def test_card_says_what_this_is() -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "demonstration model" in card
    assert "license: apache-2.0" in card
