"""Writes the model card beside the weights, with the numbers of the training that made them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from tiny_model import corpus
from tiny_model.tokenizer import encode

CARD = """---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---

# tiny

**A demonstration model. It shows that an engine works; it is not a source of knowledge.**

It ships with `llm-magics` so that `%serve tiny`, `%bench tiny` and `%%compare` work at once, with no download and no
GPU. It has {parameters:,} parameters, a few thousand times fewer than a useful assistant, and has read one small
corpus. What it says about LLM inference was learned by heart and is mostly right; asked anything else it should say
that it does not know, and sometimes it talks nonsense instead. Do not use it for anything but trying software.

| | |
|---|---|
| Architecture | Llama: 4 layers, hidden 256, 4 heads, 2 key/value heads of 64, tied embeddings, 2048 positions |
| Tokenizer | byte-level BPE, 2048 tokens, trained on the same corpus; ChatML; an answer ends with `<|im_end|>` |
| Corpus | `tools/tiny_model/corpus/`: {facts} answers and {paragraphs} paragraphs about LLM inference, written for this project; about {tokens:,} tokens in {samples:,} samples a pass once the questions are phrased |
| Training | {steps:,} steps, {tokens_seen:,} token positions, {minutes:.0f} minutes on two CPU cores, the last {rounded_steps} steps with rounded weights |
| Loss | {loss:.3f} nats per token at the end, on the corpus itself: it is meant to know it by heart |
| Seed | {seed} |
| Licence | Apache-2.0, corpus and weights |

Made by, from the root of the repository:

    PYTHONPATH=tools python -m tiny_model.train --out src/llm_magics/models/tiny --seed {seed} --steps {steps}

The same seed, versions and number of threads give the same corpus and the same course of training; the last bits of
the weights may differ on another processor.

## Files

`tiny-q8_0.gguf` is for llama.cpp and its relatives, `model.safetensors` (bfloat16) with its JSON files for vLLM,
SGLang, Transformers and others. **Both hold exactly the same numbers**: every matrix was rounded to GGUF's Q8_0 with
scales that are powers of two, and such a product fits in a bfloat16. Engines still add in different orders, so long
greedy answers may part where two words are almost equally likely.

## Limits

- It knows some hundred facts about LLM inference as of November 2026, and will mix them up when asked in an unusual way.
- English only; no code, no arithmetic, no reasoning, no tools.
- It saw conversations of up to three questions and 512 tokens; further back its memory is poor.
- Its speed says something about the engine's overhead and nothing about the speed of real models.
"""


@dataclass(frozen=True)
class Training:
    """The numbers of one training run that the card states."""

    steps: int
    rounded_steps: int
    seed: int
    tokens_seen: int
    minutes: float
    loss: float
    parameters: int
    facts: int
    paragraphs: int
    samples: int
    tokens: int


def corpus_facts(tokenizer: Tokenizer, seed: int) -> dict[str, int]:
    samples = corpus.expand(seed)
    return {
        "facts": len(corpus.facts()),
        "paragraphs": len(corpus.read("paragraphs.yaml")),
        "samples": len(samples),
        "tokens": sum(len(encode(tokenizer, sample, 0.0)[0]) for sample in samples),
    }


def write(folder: Path, training: Training) -> None:
    (folder / "README.md").write_text(CARD.format(**vars(training)), encoding="utf-8")
