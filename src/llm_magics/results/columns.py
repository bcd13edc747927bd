"""The records of a run, held as columns: 100,000 requests are a few arrays, not a million Python objects.

Everything in `results` computes on these. A missing time is NaN, a missing count -1. The gaps between chunks of all
requests lie end to end in one array; `gap_start[i]:gap_start[i + 1]` are those of request i.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm_magics.results.records import RequestRecord

STATUSES = ("ok", "error", "cancelled")
OK, ERROR, CANCELLED = range(3)

TIMES = ("intended", "sent", "first_byte", "first_token", "last_token", "done")
_COUNTS = (
    "prompt_tokens", "output_tokens", "first_tokens", "cached_tokens", "asked_tokens", "http_status",
    "conversation", "turn", "valid",
)  # fmt: skip
_NUMBERS = ("point", "index", "repeat", "chunks")
_WORDS = ("finish", "error", "model")

_ADDED = ("first_tokens", "conversation", "turn", "valid", "model")

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Columns:
    """Requests as arrays of one length (see `records.RequestRecord` for what each means).

    `finish`, `error` and `model` hold indices into `words`, -1 for none.
    """

    point: Ints
    index: Ints
    repeat: Ints
    chunks: Ints
    warmup: NDArray[np.bool_]
    status: NDArray[np.int8]
    intended: Floats
    sent: Floats
    first_byte: Floats
    first_token: Floats
    last_token: Floats
    done: Floats
    prompt_tokens: Ints
    output_tokens: Ints
    first_tokens: Ints
    cached_tokens: Ints
    asked_tokens: Ints
    http_status: Ints
    conversation: Ints
    turn: Ints
    valid: Ints
    finish: Ints
    error: Ints
    model: Ints
    gap_start: Ints
    gaps: NDArray[np.int32]
    words: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.point)

    @property
    def ttft(self) -> Floats:
        """Time to first token, s: `first_token - intended`."""
        return self.first_token - self.intended

    @property
    def e2e(self) -> Floats:
        """End-to-end latency, s: `last_token - intended`."""
        return self.last_token - self.intended

    @property
    def lag(self) -> Floats:
        """Send lateness, s: `sent - intended`."""
        return self.sent - self.intended

    @property
    def tokens_per_chunk(self) -> Floats:
        """`output_tokens / chunks`; NaN without chunks, and where the server gave no usage: nobody can know then."""
        known = np.where(self.output_tokens > 0, self.output_tokens, np.nan)
        return known / np.where(self.chunks > 0, self.chunks, np.nan)

    @property
    def tpot(self) -> Floats:
        """Time per output token after the first chunk, s (see `RequestRecord.tpot`); NaN where it was not seen."""
        told = (self.first_tokens > 0) & (self.first_tokens < self.output_tokens)
        after_first = self.output_tokens - np.where(told, self.first_tokens, self.tokens_per_chunk)
        took = self.last_token - self.first_token
        usable = (self.output_tokens > 0) & (self.chunks >= 2) & (after_first > 0) & (took > 0)
        return took / np.where(usable, after_first, np.nan)

    def text(self, column: str) -> NDArray[np.object_]:
        """`finish`, `error` or `model` as words, None where there is none."""
        table: NDArray[np.object_] = np.array([*self.words, None], dtype=object)
        chosen: Ints = getattr(self, column)
        return table[chosen]

    def take(self, chosen: NDArray[Any]) -> Columns:
        """The chosen requests (a boolean mask or indices), their gaps with them."""
        if chosen.dtype == bool and chosen.all():
            return self
        rows = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        lengths = np.diff(self.gap_start)[rows]
        start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        # positions of the kept gaps: each request's first position repeated, plus 0..length-1
        positions = np.repeat(self.gap_start[:-1][rows] - start[:-1], lengths) + np.arange(start[-1])
        plain = {
            item.name: getattr(self, item.name)[rows]
            for item in fields(self)
            if item.name not in ("gap_start", "gaps", "words")
        }
        return Columns(**plain, gap_start=start, gaps=self.gaps[positions], words=self.words)

    def without_gaps(self) -> Columns:
        """The same requests without the times between chunks, which are most of the memory."""
        return replace(self, gap_start=np.zeros(len(self) + 1, dtype=np.int64), gaps=np.zeros(0, dtype=np.int32))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each request as a spool row (see `RequestRecord.to_json`), what was not measured left out."""
        words = {name: self.text(name) for name in _WORDS}
        for i in range(len(self)):
            row: dict[str, Any] = {
                "kind": "request",
                "warmup": bool(self.warmup[i]),
                "status": STATUSES[self.status[i]],
            }
            row |= {name: int(getattr(self, name)[i]) for name in _NUMBERS}
            row |= {name: count for name in _COUNTS if (count := int(getattr(self, name)[i])) >= 0}
            row |= {name: time for name in TIMES if not np.isnan(time := float(getattr(self, name)[i]))}
            row |= {name: text[i] for name, text in words.items() if text[i] is not None}
            if len(gaps := self.gaps[self.gap_start[i] : self.gap_start[i + 1]]):
                row["gaps"] = gaps.tolist()
            yield row

    @classmethod
    def concatenated(cls, parts: Sequence[Columns]) -> Columns:
        """Several runs' requests as one, in the order given; `words` are merged."""
        words: dict[str, int] = {}
        joined: dict[str, list[NDArray[Any]]] = {item.name: [] for item in fields(cls) if item.name != "words"}
        gaps = 0
        for part in parts:
            renumbered = np.array([*(words.setdefault(word, len(words)) for word in part.words), -1], dtype=np.int64)
            for name, arrays in joined.items():
                values = getattr(part, name)
                if name in _WORDS:
                    values = renumbered[values]
                elif name == "gap_start":
                    values = values[:-1] + gaps
                arrays.append(values)
            gaps += len(part.gaps)
        joined["gap_start"].append(np.array([gaps], dtype=np.int64))
        return cls(**{name: np.concatenate(arrays) for name, arrays in joined.items()}, words=tuple(words))

    @classmethod
    def of_records(cls, records: Iterable[RequestRecord]) -> Columns:
        """Columns of records, in their order."""
        builder = Builder()
        for record in records:
            builder.add(record.to_json())
        return builder.columns()

    def to_bytes(self) -> bytes:
        """The columns as one compressed block (numpy's npz, deflated); read with `from_bytes`."""
        buffer = io.BytesIO()
        arrays = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "words"}
        np.savez(buffer, **arrays, words=np.frombuffer("\0".join(self.words).encode(), dtype=np.uint8))
        return zlib.compress(buffer.getvalue(), level=1)

    @classmethod
    def from_bytes(cls, data: bytes) -> Columns:
        """Columns from `to_bytes`.

        Raises
        ------
        ValueError
            When the block is damaged.
        """
        try:
            with np.load(io.BytesIO(zlib.decompress(data)), allow_pickle=False) as arrays:
                words = bytes(arrays["words"]).decode()
                none = np.full(len(arrays["point"]), -1, dtype=np.int64)  # of a column that an older version had not
                plain: dict[str, Any] = {
                    item.name: arrays[item.name] if item.name in arrays or item.name not in _ADDED else none
                    for item in fields(cls)
                    if item.name != "words"
                }
        except (zlib.error, KeyError, OSError) as error:
            raise ValueError(f"the block of requests is damaged: {error}") from error
        return cls(**plain, words=tuple(words.split("\0")) if words else ())


class Builder:
    """Collects spool rows and turns them into `Columns`; the order is that of adding."""

    def __init__(self) -> None:
        self._numbers: dict[str, list[Any]] = {name: [] for name in (*_NUMBERS, *_COUNTS, *TIMES)}
        self._warmup: list[bool] = []
        self._status: list[int] = []
        self._words: dict[str, int] = {}
        self._texts: dict[str, list[int]] = {name: [] for name in _WORDS}
        self._gaps: list[NDArray[np.int32]] = []
        self._gap_counts: list[int] = []

    def add(self, row: Mapping[str, Any]) -> None:
        """Add one request as its spool row; unknown keys are ignored.

        Raises
        ------
        KeyError, TypeError, ValueError
            When the row lacks `point`, `index` or `intended`, or a value has the wrong type; nothing was added then.
        """
        numbers = {name: int(row[name]) for name in ("point", "index")}
        numbers |= {name: int(row.get(name, 0)) for name in ("repeat", "chunks")}
        counts = {name: _count(row.get(name)) for name in _COUNTS}
        times = {name: _time(row.get(name)) for name in TIMES}
        times["intended"] = float(row["intended"])
        status = STATUSES.index(row.get("status", "ok"))
        gaps = np.asarray(row.get("gaps") or [], dtype=np.int32)
        for name, value in (numbers | counts | times).items():
            self._numbers[name].append(value)
        for name in _WORDS:
            word = row.get(name)
            self._texts[name].append(-1 if word is None else self._words.setdefault(str(word), len(self._words)))
        self._warmup.append(bool(row.get("warmup", False)))
        self._status.append(status)
        self._gaps.append(gaps)
        self._gap_counts.append(len(gaps))

    def columns(self) -> Columns:
        """What was added so far."""
        arrays: dict[str, Any] = {name: np.array(self._numbers[name], dtype=np.float64) for name in TIMES}
        arrays |= {name: np.array(self._numbers[name], dtype=np.int64) for name in (*_NUMBERS, *_COUNTS)}
        arrays |= {name: np.array(self._texts[name], dtype=np.int64) for name in _WORDS}
        return Columns(
            **arrays,
            warmup=np.array(self._warmup, dtype=np.bool_),
            status=np.array(self._status, dtype=np.int8),
            gap_start=np.concatenate([[0], np.cumsum(self._gap_counts)]).astype(np.int64),
            gaps=np.concatenate(self._gaps) if self._gaps else np.zeros(0, dtype=np.int32),
            words=tuple(self._words),
        )


def _count(value: Any) -> int:
    return -1 if value is None else int(value)


def _time(value: Any) -> float:
    return np.nan if value is None else float(value)
