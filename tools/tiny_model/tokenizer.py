"""Trains the tokenizer and writes its files, in the one form that llama.cpp, vLLM and Transformers all read alike.

Byte-level BPE with GPT-2's own regular expression: llama.cpp knows that pre-tokenizer as `gpt-2`, so no engine has
to guess how text is split. There is no beginning-of-text token; a turn, and so an answer, ends with `<|im_end|>`.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from tiny_model.corpus import Sample

END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL = (END_OF_TEXT, TURN_START, TURN_END)  # ids 0, 1, 2
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def train(samples: list[Sample], vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [sample.text or "\n".join(text for _, text in sample.messages) for sample in samples]
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() != vocabulary:
        raise ValueError(f"the corpus gives only {tokenizer.get_vocab_size()} tokens, not {vocabulary}")
    return tokenizer


def encode(tokenizer: Tokenizer, sample: Sample, prompt_weight: float) -> tuple[list[int], list[float]]:
    """Token ids of a sample and how much the loss of each counts: what the assistant says counts fully."""
    end_of_text, start, end = (tokenizer.token_to_id(token) for token in SPECIAL)
    if not sample.messages:
        ids = tokenizer.encode(sample.text).ids
        return [*ids, end_of_text], [1.0] * (len(ids) + 1)
    ids, weights = [], []
    for role, text in sample.messages:
        head = [start, *tokenizer.encode(f"{role}\n").ids]
        body = tokenizer.encode(text).ids
        counts = 1.0 if role == "assistant" else prompt_weight
        weight = [prompt_weight] * len(head) + [counts] * (len(body) + 1) + [prompt_weight]
        ids += [*head, *body, end, *tokenizer.encode("\n").ids]
        weights += weight
    return ids, weights


def write(tokenizer: Tokenizer, folder: Path, positions: int) -> None:
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": False,
        "bos_token": None,
        "eos_token": TURN_END,
        "pad_token": END_OF_TEXT,
        "unk_token": None,
        "additional_special_tokens": [TURN_START],
        "clean_up_tokenization_spaces": False,
        "model_max_length": positions,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
