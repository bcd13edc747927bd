"""If these fail, a run whose kernel or generator was killed is lost or misread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import synthetic_run

from llm_magics.errors import StoreError
from llm_magics.results import spool


def lines(*, status: str | None = "complete", requests: int = 12) -> list[bytes]:
    """The lines of a spool, as the load generator writes them."""
    run = synthetic_run(requests=requests, concurrency=[2], errors=1)
    rows: list[dict[str, Any]] = [spool.header(run.header), *run.columns.rows()]
    rows += [each.to_json() for each in (*run.windows, *run.audits, *run.server_samples)]
    if status:
        rows.append(spool.end(status))
    return [orjson.dumps(row) + b"\n" for row in rows]


def written(path: Path, content: list[bytes]) -> Path:
    path.write_bytes(b"".join(content))
    return path


def test_a_whole_spool_is_the_whole_run(tmp_path: Path) -> None:
    run = spool.read(written(tmp_path / "r1.jsonl", lines()))
    truth = synthetic_run(requests=12, concurrency=[2], errors=1)
    assert (run.status, run.partial) == ("complete", False)
    assert run.points == truth.points
    assert run.requests.equals(truth.requests)
    assert len(run.samples) == len(truth.samples)
    assert run.spool == tmp_path / "r1.jsonl"


@pytest.mark.parametrize("status", ["cancelled", "failed"])
def test_how_it_ended_is_kept(tmp_path: Path, status: str) -> None:
    run = spool.read(written(tmp_path / "r1.jsonl", lines(status=status)))
    assert (run.status, run.partial) == (status, True)
    assert run.flags[0].startswith("partial")


def test_without_an_end_it_is_partial_and_says_so(tmp_path: Path) -> None:
    run = spool.read(written(tmp_path / "r1.jsonl", lines(status=None)))
    assert run.status == "failed"
    assert any("ended without a word" in flag for flag in run.flags)


def test_why_it_failed_is_a_flag(tmp_path: Path) -> None:
    content = [*lines(status=None), orjson.dumps(spool.end("failed", "too many open files"))]
    assert any("too many open files" in flag for flag in spool.read(written(tmp_path / "r1.jsonl", content)).flags)


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_cut_anywhere_every_whole_row_is_kept(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = lines(requests=4)
    cut = data.draw(st.integers(len(content[0]), sum(map(len, content))))
    path = tmp_path_factory.mktemp("spool") / "r1.jsonl"
    whole = b"".join(content)[:cut]
    path.write_bytes(whole)
    run = spool.read(path)
    requests = sum(b'"kind":"request"' in line for line in whole.splitlines(keepends=True) if line.endswith(b"}\n"))
    assert requests <= len(run.columns) <= requests + 1  # the last row may be whole but for its newline
    assert not any("could not be read" in flag for flag in run.flags)


def test_a_broken_row_in_the_middle_is_counted_not_fatal(tmp_path: Path) -> None:
    content = lines()
    content[2] = b'{"kind": "request", "point": "x"\n'
    content[3] = b'{"kind": "request", "index": 3}\n'
    run = spool.read(written(tmp_path / "r1.jsonl", content))
    assert any("2 rows of the record could not be read" in flag for flag in run.flags)


def test_rows_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    content = lines()
    content.insert(1, b'{"kind": "weather", "sunny": true}\n')
    content[2] = content[2][:-2] + b',"colour":"blue"}\n'
    assert spool.read(written(tmp_path / "r1.jsonl", content)).points == synthetic_run(requests=12, concurrency=[2], errors=1).points  # fmt: skip  # noqa: E501


@pytest.mark.parametrize("content", [b"", b"hello\n", b"[1]\n", b'{"kind":"request"}\n', b'{"kind":"header","schema":99}\n'])  # fmt: skip  # noqa: E501
def test_what_is_no_spool_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r1.jsonl"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="holds no run"):
        spool.read(path)


def test_a_missing_file_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        spool.read(tmp_path / "none.jsonl")


def test_an_unlimited_rate_is_read_as_it_is_written(tmp_path: Path) -> None:
    content = lines()
    content[0] = content[0].replace(b'"burstiness":1.0', b'"burstiness":1.0,"rate":[Infinity]')
    assert b"Infinity" in content[0]
    assert spool.read(written(tmp_path / "r1.jsonl", content)).points
