"""Writes the model card beside the weights, with the numbers of the training that made them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from tiny_model import corpus
from tiny_model.tokenizer import encode

TEMPLATE = Path(__file__).with_name("card.md")


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
    text = TEMPLATE.read_text(encoding="utf-8").format(**vars(training))
    (folder / "README.md").write_text(text, encoding="utf-8")
