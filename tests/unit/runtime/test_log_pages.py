"""Pages of a log: every line once, in order, across rotations, whatever the size."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llm_magics.runtime import log_pages
from llm_magics.runtime.log_pages import Page


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.log"


def add(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def rotate(path: Path) -> None:
    path.replace(path.with_name(path.name + ".1"))


def test_no_log_is_an_empty_page(path: Path) -> None:
    assert log_pages.last(path) == Page(0, 0, 0, 0, "")
    assert log_pages.after(path, 0, 0) == Page(0, 0, 0, 0, "")
    assert log_pages.before(path, 7, 7).text == ""


def test_the_first_lines_after_an_empty_page_are_not_lost(path: Path) -> None:
    empty = log_pages.last(path)
    add(path, "a\n")
    page = log_pages.after(path, empty.file, empty.end)
    assert (page.text, page.skipped) == ("a\n", False)


def test_a_line_that_is_being_written_comes_whole_with_the_next_page(path: Path) -> None:
    add(path, "a\nhal")
    page = log_pages.last(path)
    assert (page.text, page.end) == ("a\n", 2)
    assert log_pages.after(path, page.file, page.end).text == ""
    add(path, "f\n")
    assert log_pages.after(path, page.file, page.end).text == "half\n"


def test_reading_forwards_and_backwards_gives_every_line_once(path: Path) -> None:
    lines = [f"line {number} {'x' * (number % 70)}\n" for number in range(500)]
    add(path, "".join(lines))
    page, read = log_pages.last(path, 1024), []
    read.insert(0, page.text)
    while page.earlier:
        page = log_pages.before(path, page.file, page.start, 1024)
        read.insert(0, page.text)
    assert "".join(read) == "".join(lines)
    page, read = log_pages.after(path, page.file, 0, 1024), []
    while page.text:
        read.append(page.text)
        page = log_pages.after(path, page.file, page.end, 1024)
    assert "".join(read) == "".join(lines)


def test_a_rotation_loses_nothing_in_either_direction(path: Path) -> None:
    add(path, "a\nb\n")
    page = log_pages.last(path)
    add(path, "c\n")
    rotate(path)
    add(path, "d\n")
    rest = log_pages.after(path, page.file, page.end)
    new = log_pages.after(path, rest.file, rest.end)
    assert (rest.text, new.text) == ("c\n", "d\n")
    assert new.earlier
    assert log_pages.last(path).earlier
    assert log_pages.before(path, new.file, new.start).text == "a\nb\nc\n"


def test_two_rotations_are_said_to_skip(path: Path) -> None:
    add(path, "a\n")
    page = log_pages.last(path)
    for text in ("b\n", "c\n"):
        path.rename(path.with_name(f"kept{text[0]}"))  # the inode must not come back
        add(path, text)
    found = log_pages.after(path, page.file, page.end)
    assert (found.text, found.skipped) == ("c\n", True)
    assert log_pages.before(path, page.file, 2).skipped


def test_a_log_that_was_emptied_is_read_from_its_beginning(path: Path) -> None:
    add(path, "a long line\n")
    page = log_pages.last(path)
    os.truncate(path, 0)
    add(path, "b\n")
    assert log_pages.after(path, page.file, page.end).text == "b\n"


def test_a_line_longer_than_a_page_is_cut_and_not_waited_for(path: Path) -> None:
    add(path, "x" * 5000 + "\nend\n")
    page = log_pages.after(path, path.stat().st_ino, 0, 1024)
    assert page.text == "x" * 1024
    assert log_pages.last(path, 1024).text.endswith("end\n")


def test_bytes_that_are_no_text_are_shown_as_such(path: Path) -> None:
    path.write_bytes(b"\xff\xfe ok\r\n")
    assert log_pages.last(path).text == "\ufffd\ufffd ok\n"


def test_a_gigabyte_is_not_read(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**30)
        file.seek(0, os.SEEK_END)
        file.write(b"\nthe end\n")
    page = log_pages.last(path, 64 * 1024)
    assert page.text == "the end\n" or page.text.endswith("\nthe end\n")
    assert page.end - page.start <= 64 * 1024
