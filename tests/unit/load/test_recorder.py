"""Rows of the spool: what is written by hand reads back as the record it means."""

from __future__ import annotations

import json
import os
from pathlib import Path

from llm_magics.load.connection import Exchange
from llm_magics.load.recorder import Recorder
from llm_magics.results.records import RequestRecord

ORIGIN = 1_000_000_000


def spool(path: Path) -> int:
    return os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND)


def exchange() -> Exchange:
    found = Exchange(3, ORIGIN + 1_000_000_000, b"", 8, warmup=True)
    found.sent = ORIGIN + 1_000_100_000
    reply = found.reply
    reply.first_byte = ORIGIN + 1_100_000_000
    reply.stamps.extend([ORIGIN + 1_200_000_000, ORIGIN + 1_200_000_000, ORIGIN + 1_210_000_400])
    reply.done = ORIGIN + 1_300_000_000
    reply.status, reply.finish = 200, "length"
    reply.prompt_tokens, reply.output_tokens, reply.cached_tokens = 20, 3, 4
    return found


def test_row_reads_back_as_the_record(tmp_path: Path) -> None:
    recorder = Recorder(spool(tmp_path / "s"), ORIGIN)
    recorder.finished.append((exchange(), 1, 2, False))
    recorder.close()
    row = json.loads((tmp_path / "s").read_text())
    record = RequestRecord(
        point=1, index=3, intended=1.0, repeat=2, warmup=True, sent=1.0001, first_byte=1.1, first_token=1.2,
        last_token=1.2100004, done=1.3, prompt_tokens=20, output_tokens=3, cached_tokens=4, asked_tokens=8, chunks=3,
        status="ok", http_status=200, finish="length", gaps=[0, 10_000],
    )  # fmt: skip
    assert RequestRecord.from_json(row) == record
    assert row == record.to_json()


def test_cancelled_and_failed(tmp_path: Path) -> None:
    recorder = Recorder(spool(tmp_path / "s"), ORIGIN)
    failed = exchange()
    failed.reply.error = "it broke"
    never = Exchange(4, ORIGIN, b"", 8)
    for each, cancelled in ((failed, False), (never, True)):
        recorder.finished.append((each, 0, 0, cancelled))
    recorder.close()
    one, two = (RequestRecord.from_json(json.loads(line)) for line in (tmp_path / "s").read_text().splitlines())
    assert (one.status, one.error) == ("error", "it broke")
    assert (two.status, two.sent, two.first_token, two.done, two.gaps) == ("cancelled", None, None, None, [])


def test_chunks_of_one_read_are_counted_as_such(tmp_path: Path) -> None:
    recorder = Recorder(spool(tmp_path / "s"), ORIGIN)
    recorder.finished.append((exchange(), 0, 0, False))
    recorder.drain()
    assert (recorder.chunks, recorder.content_reads) == (3, 2)
    recorder.close()
