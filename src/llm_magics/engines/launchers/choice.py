"""Which token each row of a static batch takes next: its own penalties, temperature, cut-offs and seed.

`generate` knows one set of sampling settings for all rows, so it is left to take the best of each row, and this, its
logits processor, leaves it one token to take where a row samples. Definitions are vLLM's: repetition over prompt and
answer, presence and frequency over the answer; then temperature, min_p, top_k, top_p. A row with a seed draws from a
generator of its own, so that what it says does not depend on who shares its batch.
"""

from __future__ import annotations

from typing import Any

from generation import Ask, Row

NEVER = float("-inf")


class Choice:
    """`generate`'s logits processor for one batch."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.plain = all(_plain(row.ask) for row in rows)
        self.generators: dict[int, Any] = {}

    def __call__(self, _ids: Any, scores: Any) -> Any:
        """The scores with every row's own rules applied; rows that are over are left as they are."""
        if self.plain:
            return scores
        scores = scores.float()
        for at, row in enumerate(self.rows):
            if not row.done and not _plain(row.ask):
                scores[at] = self._chosen(at, row, scores[at].clone())
        return scores

    def _chosen(self, at: int, row: Row, scores: Any) -> Any:
        import torch

        ask = row.ask
        for token, more in ask.bias.items():
            scores[token] += more
        if len(row.ids) < ask.min_tokens and row.ends:
            scores[sorted(row.ends)] = NEVER
        _penalize(ask, row, scores)
        if ask.temperature <= 0:
            return scores
        scores = scores / ask.temperature
        _cut(ask, scores)
        token = torch.multinomial(scores.softmax(-1), 1, generator=self._generator(at, ask, scores.device))
        chosen = torch.full_like(scores, NEVER)
        chosen[token] = 0.0
        return chosen

    def _generator(self, at: int, ask: Ask, device: Any) -> Any:
        import torch

        if ask.seed is None:
            return None
        if at not in self.generators:
            self.generators[at] = torch.Generator(device=device).manual_seed(ask.seed)
        return self.generators[at]


def _plain(ask: Ask) -> bool:
    """Whether the best token is always the one."""
    return (
        ask.temperature <= 0
        and ask.min_tokens <= 0
        and not ask.bias
        and (ask.presence, ask.frequency, ask.repetition) == (0.0, 0.0, 1.0)
    )


def _penalize(ask: Ask, row: Row, scores: Any) -> None:
    import torch

    if ask.repetition != 1.0:
        seen = torch.tensor(sorted({*ask.ids, *row.ids}), device=scores.device)
        there = scores[seen]
        scores[seen] = torch.where(there > 0, there / ask.repetition, there * ask.repetition)
    if row.ids and (ask.presence or ask.frequency):
        said, times = torch.tensor(row.ids, device=scores.device).unique(return_counts=True)
        scores[said] -= ask.presence + ask.frequency * times


def _cut(ask: Ask, scores: Any) -> None:
    """Leave out what is too unlikely; the likeliest token always stays."""
    if ask.min_p > 0:
        shares = scores.softmax(-1)
        scores[shares < ask.min_p * shares.max()] = NEVER
    if 0 < ask.top_k < len(scores):
        scores[scores < scores.topk(ask.top_k).values[-1]] = NEVER
    if ask.top_p < 1:
        ordered, order = scores.softmax(-1).sort(descending=True)
        beyond = ordered.cumsum(-1) - ordered > ask.top_p
        beyond[0] = False
        scores[order[beyond]] = NEVER
