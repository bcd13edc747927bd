"""Makes a model folder of a real size with random weights, for a machine with a GPU and without a model hub.

    python tools/random_model.py FOLDER [--shape mistral-7b|tiny]

Run by any Python that has torch and transformers. How fast an engine computes does not depend on what the weights are,
so long as none is zero; what it says means nothing. The tokenizer is trained on Python's own standard library, so that
prompts of so many tokens can be made and every token has a text.
"""

from __future__ import annotations

import argparse
import json
import sysconfig
from pathlib import Path

SHAPES: dict[str, dict[str, float]] = {
    "mistral-7b": {
        "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "vocab_size": 32000, "max_position_embeddings": 32768, "rope_theta": 1e6,
    },
    "tiny": {
        "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 4096, "max_position_embeddings": 2048,
    },
}  # fmt: skip
END, TURN, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"  # ids 0, 1, 2
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def main() -> None:
    """Writes the tokenizer and the weights, the latter made on the GPU where there is one."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("folder", type=Path)
    asked.add_argument("--shape", choices=SHAPES, default="mistral-7b")
    options = asked.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    tokenizer(options.folder, SHAPES[options.shape])
    weights(options.folder, SHAPES[options.shape])


def tokenizer(folder: Path, shape: dict[str, float]) -> None:
    """Byte-level BPE with a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=int(shape["vocab_size"]), special_tokens=[END, TURN, TURN_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
    )  # fmt: skip
    library = Path(sysconfig.get_path("stdlib"))
    files = sorted([*library.glob("*.py"), *library.glob("[a-su-z]*/*.py")])  # not its tests
    texts = (path.read_text("utf-8", "replace") for path in files if "site-packages" not in path.parts)
    made.train_from_iterator(texts, trainer)
    if made.get_vocab_size() != shape["vocab_size"]:
        raise SystemExit(f"the texts give only {made.get_vocab_size()} tokens")
    made.save(str(folder / "tokenizer.json"))
    said = {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": TURN_END, "pad_token": END, "bos_token": None,
        "clean_up_tokenization_spaces": False, "model_max_length": shape["max_position_embeddings"],
        "chat_template": TEMPLATE,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(said, indent=2) + "\n")


def weights(folder: Path, shape: dict[str, float]) -> None:
    """Drawn as for training, in bfloat16."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**shape, bos_token_id=0, eos_token_id=2, pad_token_id=0, tie_word_embeddings=False)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder, max_shard_size="4GB")


if __name__ == "__main__":
    main()
