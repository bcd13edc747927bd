"""Packs samples into windows of equal length for training.

Most windows keep their samples apart: positions start anew and attention does not cross from one sample into the
next, which is how an engine will meet them. Some windows are one long text, so that the model also learns to answer
the last question of a long conversation.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer

from tiny_model import corpus
from tiny_model.tokenizer import encode

PROMPT_WEIGHT = 0.1  # how much a token of the question counts in the loss, where a token of the answer counts 1
JOINED = 0.2  # share of windows whose samples may see each other


@dataclass(frozen=True)
class Batch:
    """Everything one step needs; all of shape (rows, window) but `mask`, (rows, 1, window, window)."""

    ids: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor
    weights: torch.Tensor


def batches(tokenizer: Tokenizer, seed: int, rows: int, window: int) -> Iterator[Batch]:
    """Batches without end; each pass over the corpus has phrasings of its own."""
    for number in range(1_000_000):
        rng = random.Random(f"{seed}/{number}")
        encoded = [encode(tokenizer, sample, PROMPT_WEIGHT) for sample in corpus.expand(seed + number)]
        windows = list(_pack(encoded, window))
        rng.shuffle(windows)
        for start in range(0, len(windows) - rows + 1, rows):
            yield _collate(windows[start : start + rows], window, rng)


def _pack(encoded: list, window: int) -> Iterator[list]:
    """First fit among a few open windows: little is left empty."""
    open_windows: list[list] = []
    for ids, weights in encoded:
        ids, weights = ids[:window], weights[:window]
        for candidate in open_windows:
            if sum(len(part[0]) for part in candidate) + len(ids) <= window:
                candidate.append((ids, weights))
                break
        else:
            open_windows.append([(ids, weights)])
        if len(open_windows) > 12:
            fullest = max(open_windows, key=lambda parts: sum(len(part[0]) for part in parts))
            open_windows.remove(fullest)
            yield fullest
    yield from open_windows


def _collate(windows: list, window: int, rng: random.Random) -> Batch:
    shape = (len(windows), window)
    ids = torch.zeros(shape, dtype=torch.long)
    positions = torch.zeros(shape, dtype=torch.long)
    owner = torch.full(shape, -1)
    weights = torch.zeros(shape)
    for row, parts in enumerate(windows):
        joined = rng.random() < JOINED
        at = 0
        for number, (tokens, weight) in enumerate(parts):
            end = at + len(tokens)
            ids[row, at:end] = torch.tensor(tokens)
            weights[row, at:end] = torch.tensor(weight)
            owner[row, at:end] = 0 if joined else number
            positions[row, at:end] = torch.arange(at, end) if joined else torch.arange(end - at)
            if not joined:
                weights[row, at] = 0.0  # nothing before it to predict it from
            at = end
    causal = torch.ones(window, window, dtype=torch.bool).tril()
    mask = causal & (owner[:, None, :, None] == owner[:, None, None, :])
    return Batch(ids, positions, mask, weights)
