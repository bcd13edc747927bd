"""Logs: read from their end whatever their size, followed across rotations, written without secrets."""

from __future__ import annotations

import os
import threading
import tracemalloc
from pathlib import Path

import pytest

from llm_magics.runtime.log_writer import LogWriter
from llm_magics.runtime.logs import follow, redact, secrets_of, tail


def test_the_tail_of_a_short_a_long_and_no_log(tmp_path: Path) -> None:
    log = tmp_path / "s.log"
    assert tail(log) == []
    log.write_text("")
    assert tail(log) == []
    log.write_text("one\ntwo\r\n\nfour")
    assert tail(log) == ["one", "two", "", "four"]
    assert tail(log, 2) == ["", "four"]
    assert tail(log, 0) == []
    log.write_text("".join(f"line {number}\n" for number in range(50_000)))
    assert tail(log, 3) == ["line 49997", "line 49998", "line 49999"]


def test_the_tail_goes_on_in_the_file_before_a_rotation(tmp_path: Path) -> None:
    (tmp_path / "s.log.1").write_text("one\ntwo\n")
    (tmp_path / "s.log").write_text("three\n")
    assert tail(tmp_path / "s.log", 2) == ["two", "three"]
    assert tail(tmp_path / "s.log") == ["one", "two", "three"]


def test_the_tail_of_a_gigabyte_reads_little(tmp_path: Path) -> None:
    log = tmp_path / "s.log"
    with log.open("wb") as file:
        os.truncate(file.fileno(), 10**9)  # sparse: no disk is filled
        file.seek(0, os.SEEK_END)
        file.write(b"\nlast but one\nlast\n")
    tracemalloc.start()
    assert tail(log, 2) == ["last but one", "last"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


def test_what_is_not_utf8_is_shown_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "s.log").write_bytes(b"caf\xe9\n")
    assert tail(tmp_path / "s.log") == ["caf\ufffd"]


def test_following_shows_every_line_once_across_a_rotation(tmp_path: Path) -> None:
    log = tmp_path / "s.log"
    log.write_text("".join(f"old {number}\n" for number in range(5)))
    stop, seen = threading.Event(), []
    reached = {"old 4": threading.Event(), "new 1": threading.Event(), "new 4": threading.Event()}

    def read() -> None:
        for line in follow(log, stop, lines=2, pause=0.01):
            seen.append(line)
            if line in reached:
                reached[line].set()

    reader = threading.Thread(target=read)
    reader.start()
    assert reached["old 4"].wait(60)
    with log.open("a") as file:
        file.write("new 0\nnew")
        file.flush()
        file.write(" 1\n")
        file.flush()
        assert reached["new 1"].wait(60)
        file.write("new 2\n")
    log.replace(tmp_path / "s.log.1")
    log.write_text("new 3\nnew 4\n")
    assert reached["new 4"].wait(60)
    stop.set()
    reader.join(60)
    assert seen == ["old 3", "old 4", "new 0", "new 1", "new 2", "new 3", "new 4"]


def test_following_waits_for_a_log_that_is_not_there_yet(tmp_path: Path) -> None:
    log, stop = tmp_path / "s.log", threading.Event()
    lines = follow(log, stop, pause=0.01)
    timer = threading.Timer(0.05, lambda: log.write_text("first\n"))
    timer.start()
    assert next(lines) == "first"
    stop.set()
    assert list(lines) == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abcDEF123456", "Authorization: Bearer ***"),
        ("key sk-proj-abcdefgh12345", "key ***"),
        ("token hf_AbCdEfGhIj", "token ***"),
        ("vllm serve m --api-key sesame --port 1", "vllm serve m --api-key *** --port 1"),
        ("--hf-token=hunter22 x", "--hf-token=*** x"),
        ("the given one: opensesame!", "the given one: ***!"),
        ("task-force risk-free hf_hub hf_transfer sk-learn-like bearer of news", None),
        ("max_num_batched_tokens=8192 skip-tokenizer-init", None),
    ],
)
def test_secrets_are_hidden_and_words_are_not(text: str, shown: str | None) -> None:
    assert redact(text, ["opensesame", ""]) == (shown or text)


def test_lines_are_written_whole_and_clean(tmp_path: Path) -> None:
    log = LogWriter(tmp_path / "s.log")
    assert log.feed(b"\x1b[32mINFO\x1b[0m load") == []
    assert log.feed(b"ing\x00 weights\nnext\r\n") == ["INFO loading weights", "next"]
    log.close()
    assert tail(tmp_path / "s.log") == ["INFO loading weights", "next"]


def test_a_secret_cut_in_two_by_the_pipe_is_hidden(tmp_path: Path) -> None:
    log = LogWriter(tmp_path / "s.log", ["opensesame"])
    log.feed(b"it is open")
    log.feed(b"sesame, really\n")
    log.close()
    assert tail(tmp_path / "s.log") == ["it is ***, really"]


def test_a_progress_bar_is_heard_in_every_state_and_written_once(tmp_path: Path) -> None:
    log = LogWriter(tmp_path / "s.log")
    said = (
        log.feed(b"\rload 10%|#   |")
        + log.feed(b"\rload 50%|##  |")
        + log.feed(b"\rload 100%|####|\n")
        + log.feed(b"end\n")
    )
    log.close()
    assert [line[:9].strip("|") for line in dict.fromkeys(said)] == ["load 10%", "load 50%", "load 100%", "end"]
    assert tail(tmp_path / "s.log") == ["load 100%|####|", "end"]


def test_a_last_line_without_a_break_is_not_lost(tmp_path: Path) -> None:
    log = LogWriter(tmp_path / "s.log")
    log.feed(b"Segmentation fault")
    log.close()
    assert tail(tmp_path / "s.log") == ["Segmentation fault"]
    assert list(log.tail) == ["Segmentation fault"]


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    log = LogWriter(tmp_path / "s.log")
    for _ in range(20):
        log.feed(b"x" * 50_000)
    assert len(log._rest) <= 64 * 1024
    log.close()


def test_rotation_keeps_two_files_below_the_limit(tmp_path: Path) -> None:
    log = LogWriter(tmp_path / "s.log", limit=1000)
    for number in range(100):
        log.feed(f"line {number} {'x' * 40}\n".encode())
    log.close()
    assert (tmp_path / "s.log").stat().st_size <= 1000
    assert (tmp_path / "s.log.1").stat().st_size <= 1000
    assert tail(tmp_path / "s.log", 1)[0].startswith("line 99 ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.log", "s.log.1"]


def test_a_full_disk_drops_lines_and_says_so_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = LogWriter(tmp_path / "s.log")
    log.feed(b"before\n")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full)
    log.feed(b"lost 1\nlost 2\n")
    log.feed(b"lost 3\n")
    monkeypatch.undo()
    log.feed(b"after\n")
    log.close()
    assert tail(tmp_path / "s.log") == ["before", "[3 lines could not be written: the disk was full]", "after"]


def test_keys_that_stand_in_arguments_are_known_by_their_flags() -> None:
    args = ["--api-key", "my private words", "--hf-token=another", "--api-key", "no", "--port", "123456"]
    assert secrets_of(args) == ["my private words", "another"]
