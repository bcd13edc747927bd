"""A real kernel that is interrupted, restarted or killed: nothing is left running, and nothing measured is lost."""

from __future__ import annotations

import json
import os
import queue
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.manager import KernelManager
from waiting import until

from llm_magics import api, paths
from llm_magics.api.stored_runs import load_run
from llm_magics.runtime.registry import Registry

WAIT = 120  # s; only a hang reaches it


class Kernel:
    """A kernel as a notebook uses it."""

    def __init__(self) -> None:
        self.manager = KernelManager()
        shown = {key: value for key, value in os.environ.items() if key != "LLM_MAGICS_NONINTERACTIVE"}
        self.manager.start_kernel(env=shown)
        self._connect()

    def _connect(self) -> None:
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=WAIT)
        self.run("%load_ext llm_magics")

    def send(self, code: str) -> str:
        return str(self.client.execute(code))

    def reply(self, message: str) -> dict[str, Any]:
        """The reply to a cell that was sent."""
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            found = self.client.get_shell_msg(timeout=WAIT)
            if found["parent_header"].get("msg_id") == message:
                return dict(found["content"])
        raise AssertionError("the kernel does not answer")

    def run(self, code: str) -> dict[str, Any]:
        return self.reply(self.send(code))

    def value(self, expression: str) -> str:
        """The text of an expression's value."""
        message = self.client.execute("", user_expressions={"x": expression})
        return str(self.reply(message)["user_expressions"]["x"]["data"]["text/plain"])

    def restart(self) -> None:
        self.client.stop_channels()
        self.manager.restart_kernel(now=True)
        self._connect()

    def kill(self) -> None:
        """As the out-of-memory killer does it."""
        self.manager.signal_kernel(9)
        until(lambda: not self.manager.is_alive())

    def printed(self) -> str:
        """Everything that was shown so far."""
        shown = []
        while True:
            try:
                shown.append(json.dumps(self.client.get_iopub_msg(timeout=0.2)["content"], default=str))
            except queue.Empty:
                return "\n".join(shown)


@pytest.fixture
def kernel(isolated: Path) -> Iterator[Kernel]:
    found = Kernel()
    yield found
    api.stop(every=True)
    found.client.stop_channels()
    found.manager.shutdown_kernel(now=True)


def engine_pid(name: str) -> int:
    record = Registry().get(name)
    assert record is not None
    assert record.process is not None
    return int(record.process["pid"])


def workers() -> list[psutil.Process]:
    """Load workers of this machine that were started since this test process."""
    mine = psutil.Process().create_time()
    found = []
    for process in psutil.process_iter(["cmdline", "create_time"]):
        if "llm_magics.load.worker" in (process.info["cmdline"] or []) and process.info["create_time"] > mine:
            found.append(process)
    return found


def test_a_restarted_kernel_takes_its_server_back(kernel: Kernel) -> None:
    assert kernel.run("%serve tiny")["status"] == "ok"
    before = engine_pid("tiny")
    kernel.restart()
    assert kernel.run("%serve tiny")["status"] == "ok"
    assert engine_pid("tiny") == before
    assert kernel.value("tiny.state") == "'ready'"
    until(lambda: "already" in kernel.printed())  # the card says that it was running


def test_a_server_with_another_spec_is_not_replaced_by_accident(kernel: Kernel) -> None:
    assert kernel.run("%serve tiny")["status"] == "ok"
    before = engine_pid("tiny")
    refused = kernel.run("%serve tiny --max-num-seqs 2")
    assert refused["status"] == "error"
    assert refused["ename"] == "LaunchError"
    assert "max_num_seqs" in "".join(refused["traceback"])
    assert "--replace" in "".join(refused["traceback"])
    assert engine_pid("tiny") == before
    assert kernel.run("%serve tiny --max-num-seqs 2 --replace")["status"] == "ok"
    assert engine_pid("tiny") != before
    assert not psutil.pid_exists(before)


def test_a_killed_kernel_leaves_its_server_a_grace_and_no_longer(kernel: Kernel) -> None:
    kernel.run("%serve kept")
    kernel.run("import llm_magics; llm_magics.serve('brief', keep='cell')")
    kept, brief = engine_pid("kept"), engine_pid("brief")
    kernel.kill()
    until(lambda: not psutil.pid_exists(brief), WAIT)
    record = until(lambda: (found := Registry().get("kept")) and found.stops_at and found, WAIT)
    assert psutil.pid_exists(kept)
    assert record.stops_at - time.time() <= 600
    assert record.stops_why


def test_interrupting_a_bench_keeps_what_was_measured(kernel: Kernel) -> None:
    kernel.run("%serve tiny")
    message = kernel.send("%bench tiny --concurrency 2 --duration 60s --output-tokens 16 --warmup 0 --out r")
    until(lambda: workers(), WAIT)
    spool = until(lambda: list(paths.spool_dir().glob("*.jsonl")), WAIT)[0]
    until(lambda: spool.read_text().count('"request"') >= 4, WAIT)
    kernel.manager.interrupt_kernel()
    assert kernel.reply(message)["status"] == "ok"
    assert kernel.value("r.status") == "'cancelled'"
    assert int(kernel.value("len(r.requests.query('status == \"ok\"'))")) >= 4
    until(lambda: not workers())
    assert kernel.value("tiny.state") == "'ready'"


def test_a_kernel_killed_while_benching_loses_nothing(kernel: Kernel) -> None:
    kernel.run("%serve tiny")
    kernel.send("%bench tiny --concurrency 2 --duration 60s --output-tokens 16 --warmup 0")
    spool = until(lambda: list(paths.spool_dir().glob("*.jsonl")), WAIT)[0]
    until(lambda: spool.read_text().count('"request"') >= 4, WAIT)
    kernel.kill()
    until(lambda: not workers(), WAIT)
    rows = until(api.runs, WAIT)
    run = load_run(rows[0].id)
    assert run.partial
    assert (run.requests["status"] == "ok").sum() >= 4
    assert not spool.exists()


def test_interrupting_a_start_stops_the_server(kernel: Kernel, tmp_path: Path) -> None:
    """A llama-server that never gets ready stands for a model that takes long to load."""
    slow = tmp_path / "llama-server"
    slow.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "version: 1 (abc)" && exit\n'
        '[ "$1" = --help ] && exit 1\necho loading\nexec sleep 300\n'
    )
    slow.chmod(0o755)
    message = kernel.send(f"%serve slow --bin {slow}")
    until(lambda: (found := Registry().get("slow")) and found.process, WAIT)
    pid = engine_pid("slow")
    kernel.manager.interrupt_kernel()
    reply = kernel.reply(message)
    assert reply["status"] == "error"
    assert reply["ename"] == "KeyboardInterrupt"
    assert reply["traceback"] == [
        "KeyboardInterrupt: The start of slow was stopped.\n  nothing of it is left running"
    ], "no traceback: there is nothing to find in it"
    until(lambda: not psutil.pid_exists(pid), WAIT)
    assert Registry().get("slow").state in ("stopped", "failed")  # type: ignore[union-attr]
