"""One request within a static batch: which text goes out when, and what ends it."""

from __future__ import annotations

from typing import Any

import pytest

END = 0


class Letters:
    """A tokenizer of bytes: token 65 is "A", 0 ends, and two tokens make one "é"."""

    def decode(self, ids: list[int], skip_special_tokens: bool = True) -> str:
        return bytes(each for each in ids if each != END).decode("utf-8", "replace")


def row(**fields: Any) -> Any:
    from generation import Ask, Row

    return Row(Ask([1, 2], fields.pop("max_tokens", 100), **fields), Letters(), frozenset({END}))


def told(row: Any, tokens: bytes) -> list[tuple[str, int, str | None]]:
    for token in tokens:
        row.take(token)
    pieces = []
    while not row.ask.out.empty():
        piece = row.ask.out.get()
        pieces.append((piece.text, piece.tokens, piece.finish))
    return pieces


def test_each_token_is_told_at_once_and_the_end_token_counts() -> None:
    assert told(row(), b"AB\0") == [("A", 1, None), ("B", 1, None), ("", 1, "stop")]


def test_length_ends_it_and_what_comes_after_is_not_told() -> None:
    assert told(row(max_tokens=2), b"ABC") == [("A", 1, None), ("B", 1, "length")]


def test_half_a_character_waits_and_its_tokens_are_told_with_it() -> None:
    assert told(row(), "é".encode()) == [("é", 2, None)]
    assert told(row(max_tokens=1), "é".encode()[:1]) == [("\ufffd", 1, "length")], "at the end it waits no longer"


def test_the_end_token_is_passed_over_when_so_asked() -> None:
    assert told(row(ignore_eos=True, max_tokens=3), b"A\0B")[-1] == ("B", 2, "length")
    assert [piece[2] for piece in told(row(min_tokens=2), b"A\0B\0")] == [None, None, "stop"]


def test_a_stop_text_is_cut_out_even_when_it_came_in_parts() -> None:
    pieces = told(row(stop=["BCD"]), b"ABCDE")
    assert "".join(text for text, _, _ in pieces) == "A"
    assert pieces[-1][2] == "stop"
    assert sum(tokens for _, tokens, _ in pieces) == 4
    pieces = told(row(stop=["BCD"], max_tokens=3), b"ABC")
    assert "".join(text for text, _, _ in pieces) == "ABC", "what only looked like it is told in the end"


def test_a_client_that_is_gone_ends_its_row() -> None:
    one = row()
    one.take(65)
    one.ask.gone.set()
    one.take(66)
    assert one.done
    assert len(one.ids) == 1


@pytest.mark.parametrize("size", [1, 3])
def test_a_failing_batch_is_an_error_of_its_requests_and_not_the_end(size: int) -> None:
    from generation import Ask, Batches

    batches = object.__new__(Batches)  # without a model: what is tested is the queue
    import queue
    import threading

    batches.waiting, batches.lock, batches.size, batches.running = queue.SimpleQueue(), threading.Lock(), size, 0
    sizes: list[int] = []

    def run(batch: list[Any]) -> None:
        sizes.append(len(batch))
        raise RuntimeError("no memory")

    batches._run = run
    asks = [batches.submit(Ask([1], 1)) for _ in range(4)]
    asks[0].gone.set()
    batches.start()
    assert [ask.out.get(timeout=60).error for ask in asks[1:]] == ["no memory"] * 3
    assert max(sizes) <= size
    assert sum(sizes) == 3, "who has left is not worked for"
