"""An engine that dies in the middle of a bench: the run ends at once, keeps what it measured and says why it ended."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

from waiting import until

from llm_magics.api import bench, serve
from llm_magics.runtime.record import Record
from llm_magics.runtime.registry import Registry


def test_the_cause_is_told_before_any_figure(isolated: Path) -> None:
    serve("doomed", keep="cell")
    record = Registry().get("doomed")
    assert record is not None

    def kill(record: Record = record) -> None:
        until(lambda: any(b'"warmup":false' in each.read_bytes() for each in isolated.rglob("*.jsonl")), 60.0)
        assert record.process is not None
        os.kill(record.process["pid"], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    began = time.monotonic()
    run = bench("doomed", concurrency=2, duration="120s", output_tokens=64)
    killer.join()
    assert time.monotonic() - began < 100, "the run went on against a server that is gone"
    assert run.status == "failed"
    assert "ended by SIGKILL" in run.flags[0]
    assert "ended by SIGKILL" in str(run).splitlines()[1]
    assert (run.requests.status == "ok").any()
