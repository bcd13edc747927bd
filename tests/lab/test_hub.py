"""A hub's culler sees activity while something is measured, and only then, and not for ever."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from llm_magics.lab.aside import Aside
from llm_magics.lab.hub import LONGEST, Busy
from llm_magics.results import spool


def measuring(data: Path, *, started: float | None = None, touched: float | None = None) -> None:
    folder = data / "spool"
    folder.mkdir(exist_ok=True)
    path = folder / "r1.jsonl"
    path.write_text(
        json.dumps(spool.header({"id": "r1", "started": time.time() if started is None else started})) + "\n"
    )
    if touched is not None:
        os.utime(path, (touched, touched))


@pytest.mark.parametrize(
    ("started", "touched", "busy"),
    [(0.0, 0.0, True), (-LONGEST - 60, 0.0, False), (-3600.0, -600.0, False), (-3600.0, -5.0, True)],
    ids=["just begun", "hangs since yesterday", "its writer was killed", "an hour under way"],
)
async def test_a_bench_counts_while_it_goes_on(data: Path, started: float, touched: float, busy: bool) -> None:
    now = time.time()
    measuring(data, started=now + started, touched=now + touched)
    settings: dict[str, Any] = {"last_activity_times": {}}
    await Busy(settings, Aside()).look()
    assert ("llm-magics" in settings["last_activity_times"]) is busy


async def test_no_bench_is_no_activity_and_nonsense_in_the_folder_is_none(data: Path) -> None:
    settings: dict[str, Any] = {"last_activity_times": {}}
    await Busy(settings, Aside()).look()
    measuring(data)
    (data / "spool" / "r1.jsonl").write_bytes(b"\xff\n")
    (data / "spool" / "r2.jsonl").mkdir()
    await Busy(settings, Aside()).look()
    assert settings["last_activity_times"] == {}
