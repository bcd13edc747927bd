"""What happened when: arrivals of tokens and requests in flight over the time of a run.

Throughput over time, peaks, the steady part of a point and the load that was really held all come from here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llm_magics.results.columns import Columns, Floats

# A steady part shorter than this share of the measured time says too little to be used.
_LEAST_STEADY = 0.2


def ends(columns: Columns) -> Floats:
    """When each request ended, s: end of the answer, else its last chunk, else (an error at once) when it was sent."""
    found = np.where(np.isnan(columns.done), columns.last_token, columns.done)
    return np.where(np.isnan(found), columns.sent, found)


def arrivals(columns: Columns) -> tuple[Floats, Floats]:
    """Every chunk with content: when it came (s since the run began) and how many tokens it is taken to carry.

    A request's tokens are spread evenly over its chunks, since servers do not say what each carries; one that was cut
    off before its count came has as many a chunk as the others on average, one where no count is known at all. Chunks
    whose times were not kept (a table of requests, another tool's file) are spread evenly from the first to the last.
    Requests in their order, the chunks of each in time order.
    """
    kept = columns.take(~np.isnan(columns.first_token))
    lengths = np.diff(kept.gap_start)
    unkept = (lengths == 0) & (kept.chunks > 1) & (kept.last_token > kept.first_token)
    many = np.where(unkept, kept.chunks, lengths + 1)
    first = np.cumsum(many) - many
    even = np.where(unkept, (kept.last_token - kept.first_token) / np.maximum(many - 1, 1), 0.0)
    steps = np.repeat(even, many)
    has_gap = np.repeat(~unkept, many)
    has_gap[first] = False
    steps[has_gap] = kept.gaps * 1e-6
    steps[first] = 0.0
    total = np.cumsum(steps)
    times = total - np.repeat(total[first], many) + np.repeat(kept.first_token, many)
    told = kept.output_tokens > 0
    usual = float(kept.output_tokens[told].sum() / kept.chunks[told].sum()) if kept.chunks[told].any() else 1.0
    # a recorder that kept neither times nor number of chunks leaves one that stands for all tokens
    weight = np.where(many >= kept.chunks, kept.tokens_per_chunk, np.maximum(kept.output_tokens, 1))
    return times, np.repeat(np.where(np.isnan(weight), usual, weight), many)


def in_flight(columns: Columns) -> tuple[Floats, NDArray[np.int64]]:
    """Requests in flight as a step function: moments (s, sorted) and the number from each moment on."""
    was_sent = ~np.isnan(columns.sent)
    starts, stops = columns.sent[was_sent], ends(columns)[was_sent]
    times = np.concatenate([starts, stops])
    change = np.concatenate([np.ones(len(starts), dtype=np.int64), -np.ones(len(stops), dtype=np.int64)])
    order = np.lexsort((change, times))  # at one moment ends come first: a stream's next request replaces its last
    return times[order], np.cumsum(change[order])


def mean_in_flight(columns: Columns, start: float, end: float) -> float:
    """Mean number of requests in flight between two moments (s)."""
    overlap = np.minimum(ends(columns), end) - np.maximum(columns.sent, start)
    return float(np.nansum(np.maximum(overlap, 0.0)) / (end - start)) if end > start else 0.0


def steady(columns: Columns, streams: int | None) -> tuple[float, float] | None:
    """The part of one repetition in which the load was full, as (start, end) in s; None where it is too short to use.

    Closed loop: from the moment `streams` requests are in flight (or as many as ever were) to the last send, after
    which streams run dry. Open loop: from one median request after the first send to the last send.
    """
    was_sent = ~np.isnan(columns.sent)
    if not was_sent.any():
        return None
    first, last = float(columns.sent[was_sent].min()), float(columns.sent[was_sent].max())
    if streams is None:
        times = (ends(columns) - columns.sent)[was_sent & (columns.status == 0)]
        start = first + (float(np.median(times)) if len(times) else 0.0)
    else:
        moments, running = in_flight(columns)
        start = float(moments[int(np.argmax(running >= min(streams, int(running.max()))))])
    whole = float(np.nanmax(ends(columns))) - first
    return (start, last) if whole > 0 and last - start >= _LEAST_STEADY * whole else None


def under_load(columns: Columns, streams: int | None) -> NDArray[np.bool_]:
    """Which requests of one repetition met the load that was asked for, and not its beginning or its end.

    Closed loop: not the first `streams` requests, which all came to an idle server at once, nor those that spent more
    than half of their time after the last send, when streams run dry. Open loop: those wanted one median request
    after the first send or later.
    """
    if streams is None:
        full = steady(columns, None)
        return columns.intended >= full[0] if full else np.ones(len(columns), dtype=np.bool_)
    rank = np.empty(len(columns), dtype=np.int64)
    rank[np.lexsort((columns.index, columns.intended))] = np.arange(len(columns))
    stop = ends(columns)
    middle = (columns.intended + np.where(np.isnan(stop), columns.intended, stop)) / 2
    last = float(np.max(columns.intended, initial=-np.inf))
    return (rank >= streams) & (middle <= last)


def idle_factor(columns: Columns, streams: int | None) -> float:
    """Time that `streams` had while the load was full / the time that requests took of it (from their intended moment).

    1 where every stream was always busy, and where there is no such part.
    """
    full = steady(columns, streams)
    if streams is None or full is None:
        return 1.0
    start, end = full
    taken = float(np.nansum(np.maximum(np.minimum(ends(columns), end) - np.maximum(columns.intended, start), 0.0)))
    return max(1.0, streams * (end - start) / taken) if taken > 0 else 1.0


def per_slice(columns: Columns, start: float, end: float, slices: int) -> Floats:
    """Tokens that arrived in each of `slices` equal parts of [start, end)."""
    times, weights = arrivals(columns)
    return np.histogram(times, bins=slices, range=(start, max(end, start + 1e-9)), weights=weights)[0]


def peak_per_second(columns: Columns) -> float:
    """Most tokens that arrived within one second, seconds counted from the first send."""
    times, weights = arrivals(columns)
    if not len(times):
        return 0.0
    origin = np.nanmin(columns.sent) if not np.isnan(columns.sent).all() else times.min()
    return float(np.bincount(np.maximum(times - origin, 0.0).astype(np.int64), weights=weights).max())
