"""Runs that are stopped: by the user, by a dead kernel, by a worker that died. What was measured stays, readable."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from scripted_api import ScriptedApi, Talk, pause
from waiting import until

from llm_magics.errors import LoadError
from llm_magics.load import workers as running
from llm_magics.load.endpoint import Endpoint
from llm_magics.load.measure import measure
from llm_magics.load.progress import Progress
from llm_magics.results import spool as reading
from llm_magics.spec.workload import Workload
from llm_magics.views.bench_progress import BenchProgress

CODE = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored for its background jobs
from pathlib import Path
from llm_magics.load.endpoint import Endpoint
from llm_magics.load.measure import measure
from llm_magics.spec.workload import Workload
work = Workload(concurrency=3, requests=100_000, input_tokens=20, output_tokens=4, warmup=0)
print(measure(Endpoint(sys.argv[1], "m", api_key="sesame-321"), work, Path(sys.argv[2]), header={}), flush=True)
"""


def slow(talk: Talk) -> None:
    """First chunk at once, the rest a while later: there is always something in flight."""
    talk.start()
    talk.words(1)
    pause(0.2)
    talk.words(talk.tokens - 1)
    talk.finish()


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with ScriptedApi(slow).running() as running:
        yield running


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def workers(parent: int) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(parent).children(recursive=True):
        with suppress(psutil.Error):  # it may end while it is looked at
            if "llm_magics.load.worker" in " ".join(child.cmdline()):
                found.append(child)
    return found


def ceased(api: ScriptedApi) -> bool:
    """Whether no more comes: what was sent last may be read a moment later."""
    sent = len(api.prompts)
    time.sleep(0.5)
    return len(api.prompts) == sent


def check_partial(path: Path) -> None:
    found = rows(path)
    assert found[-1]["kind"] == "end"
    assert found[-1]["status"] == "cancelled"
    states = {row["status"] for row in found if row["kind"] == "request"}
    assert states == {"ok", "cancelled"}
    for row in found:
        if row["kind"] == "request" and row["status"] == "cancelled":
            assert "done" not in row
            assert "error" not in row
    run = reading.read(path)
    assert run.partial
    assert len(run.requests) == sum(row["kind"] == "request" for row in found)


def test_cancelling_keeps_what_was_measured(api: ScriptedApi, tmp_path: Path) -> None:
    cancel = threading.Event()

    def stop_after_some(progress: Progress) -> None:
        if progress.done >= 4:
            cancel.set()

    work = Workload(concurrency=3, requests=100_000, input_tokens=20, output_tokens=4, warmup=0)
    status = measure(
        Endpoint(api.url, "m"), work, tmp_path / "spool", header={}, on_progress=stop_after_some, cancel=cancel
    )
    assert status == "cancelled"
    check_partial(tmp_path / "spool")
    until(lambda: not workers(os.getpid()))


def test_interrupt_keeps_what_was_measured(api: ScriptedApi, tmp_path: Path) -> None:
    caller = subprocess.Popen(
        [sys.executable, "-c", CODE, api.url, str(tmp_path / "spool")], stdout=subprocess.PIPE, text=True
    )
    until(lambda: len(api.prompts) >= 6)
    until(lambda: b'"request"' in (tmp_path / "spool").read_bytes())
    caller.send_signal(signal.SIGINT)
    said, _ = caller.communicate(timeout=60)
    assert said.strip() == "cancelled"
    check_partial(tmp_path / "spool")


def test_killed_kernel_ends_the_load_and_leaves_a_readable_spool(api: ScriptedApi, tmp_path: Path) -> None:
    caller = subprocess.Popen([sys.executable, "-c", CODE, api.url, str(tmp_path / "spool")], stdout=subprocess.DEVNULL)
    until(lambda: len(api.prompts) >= 6)
    until(lambda: b'"request"' in (tmp_path / "spool").read_bytes())
    (worker,) = workers(caller.pid)
    assert "sesame-321" not in " ".join(worker.cmdline())
    caller.kill()
    caller.wait()
    until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
    check_partial(tmp_path / "spool")
    until(lambda: ceased(api))


def test_killed_worker_is_said_and_what_it_wrote_is_kept(api: ScriptedApi, tmp_path: Path) -> None:
    def kill(progress: Progress) -> None:
        if progress.done >= 4:
            for worker in workers(os.getpid()):
                worker.kill()

    work = Workload(concurrency=3, requests=100_000, input_tokens=20, output_tokens=4, warmup=0)
    with pytest.raises(LoadError, match="ended unexpectedly"):
        measure(Endpoint(api.url, "m"), work, tmp_path / "spool", header={}, on_progress=kill)
    run = reading.read(tmp_path / "spool")
    assert run.status == "failed"
    assert len(run.requests) >= 3


def test_a_package_upgraded_under_the_kernel_is_told_as_that(
    api: ScriptedApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker is the new code, this process tells it a plan of the old shape."""
    say = running._Worker.say

    def older(self: running._Worker, document: dict[str, Any]) -> None:
        say(self, {key: value for key, value in document.items() if key != "recipe"})

    monkeypatch.setattr(running._Worker, "say", older)
    work = Workload(concurrency=1, requests=2, input_tokens=20, output_tokens=4, warmup=0)
    with pytest.raises(LoadError, match="ended unexpectedly"):  # nothing was replaced: it is a bug
        measure(Endpoint(api.url, "m"), work, tmp_path / "spool", header={})
    monkeypatch.setattr("llm_magics.__version__", "0.0.9")
    with pytest.raises(LoadError, match="replaced while this kernel was running") as told:
        measure(Endpoint(api.url, "m"), work, tmp_path / "spool", header={})
    assert "this kernel runs llm-magics 0.0.9" in told.value.why
    assert "restart the kernel" in told.value.then


def test_several_workers_make_one_run(api: ScriptedApi, tmp_path: Path) -> None:
    alone, shared = ({"workers": 1}, {"workers": 3})
    sent = []
    for number, workers in enumerate((alone, shared)):
        api.prompts.clear()
        work = Workload(concurrency=[3, 4], requests=8, input_tokens=20, output_tokens=4, warmup=2, **workers)
        status = measure(Endpoint(api.url, "m"), work, tmp_path / f"spool{number}", header={}, salt=7)
        assert status == "complete"
        sent.append(sorted(api.prompts))
        run = reading.read(tmp_path / f"spool{number}")
        assert run.status == "complete"
        assert [sorted(run.at(point).index.tolist()) for point in (0, 1)] == [list(range(2, 10))] * 2
        assert [audit.workers for audit in run.audits] == [workers["workers"]] * 2
        assert len(run.windows) == 2
        for point, window in enumerate(run.windows):
            assert window.start <= run.at(point).sent.min() <= run.at(point).done.max() <= window.end
    assert sent[0] == sent[1]  # the same bytes, however many made them


def test_one_of_several_workers_killed_ends_the_load_and_keeps_what_all_wrote(api: ScriptedApi, tmp_path: Path) -> None:
    def kill(progress: Progress) -> None:
        if progress.done >= 60 and len(found := workers(os.getpid())) == 3:
            found[1].kill()

    work = Workload(concurrency=6, requests=100_000, input_tokens=20, output_tokens=4, warmup=0, workers=3)
    with pytest.raises(LoadError, match="ended unexpectedly"):
        measure(Endpoint(api.url, "m"), work, tmp_path / "spool", header={}, on_progress=kill)
    until(lambda: not workers(os.getpid()))
    run = reading.read(tmp_path / "spool")
    assert run.status == "failed"
    assert len({index % 3 for index in run.measured.index[run.measured.status == 0]}) == 3
    until(lambda: ceased(api))


def test_cancelling_several_workers_keeps_what_all_measured(api: ScriptedApi, tmp_path: Path) -> None:
    cancel = threading.Event()

    def stop_after_some(progress: Progress) -> None:
        if progress.done >= 8:
            cancel.set()

    work = Workload(concurrency=4, requests=100_000, input_tokens=20, output_tokens=4, warmup=0, workers=2)
    status = measure(
        Endpoint(api.url, "m"), work, tmp_path / "spool", header={}, on_progress=stop_after_some, cancel=cancel
    )
    assert status == "cancelled"
    check_partial(tmp_path / "spool")


def test_a_queue_that_does_not_end_is_left_and_counted(tmp_path: Path) -> None:
    def hopeless(talk: Talk) -> None:
        if talk.number % 2:
            talk.stall()
        talk.start()
        talk.words(talk.tokens)
        talk.finish()

    seen: list[Progress] = []
    work = Workload(rate=20.0, arrival="constant", requests=8, input_tokens=20, output_tokens=4, warmup=0, drain=4.0)
    with ScriptedApi(hopeless).running() as server:
        status = measure(Endpoint(server.url, "m"), work, tmp_path / "spool", header={}, on_progress=seen.append)
    assert status == "complete"
    run = reading.read(tmp_path / "spool")
    assert sorted(run.measured.status.tolist()) == [0] * 4 + [2] * 4
    assert any("does not carry this rate" in flag for flag in run.flags)
    assert any(progress.draining is not None and progress.draining <= 4.0 for progress in seen)
    assert "has" in str(BenchProgress("s", next(each for each in seen if each.draining is not None)))


def test_a_display_that_fails_stops_the_load(api: ScriptedApi, tmp_path: Path) -> None:
    def broken(progress: Progress) -> None:
        raise ValueError("cannot draw")

    work = Workload(concurrency=3, requests=100_000, input_tokens=20, output_tokens=4, warmup=0)
    with pytest.raises(ValueError, match="cannot draw"):
        measure(Endpoint(api.url, "m"), work, tmp_path / "spool", header={}, on_progress=broken)
    until(lambda: not workers(os.getpid()))
    assert rows(tmp_path / "spool")[-1]["kind"] == "end"


def test_a_caller_that_does_not_read_progress_does_not_stop_the_load(api: ScriptedApi, tmp_path: Path) -> None:
    seen: list[Progress] = []

    def slow_display(progress: Progress) -> None:
        seen.append(progress)
        time.sleep(0.7)

    work = Workload(concurrency=3, requests=24, input_tokens=20, output_tokens=4, warmup=0)
    assert measure(Endpoint(api.url, "m"), work, tmp_path / "spool", header={}, on_progress=slow_display) == "complete"
    gaps = sorted(row["intended"] for row in rows(tmp_path / "spool") if row["kind"] == "request")
    assert len(gaps) == 24
    assert seen[0].label == "3 streams"
    assert seen[-1].total == 24


def plan_of(work: Workload, url: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `measure` would hand to its workers."""
    made: list[dict[str, Any]] = []

    def keep(plan: dict[str, Any], count: int, record: int) -> None:
        made.append(plan)
        raise LoadError("the plan is enough")

    with monkeypatch.context() as patch:
        patch.setattr("llm_magics.load.measure.Workers", keep)
        with pytest.raises(LoadError, match="the plan is enough"):
            measure(Endpoint(url, "m"), work, path, header={})
    return made[0]


def test_a_worker_says_that_it_is_ready_until_it_is_heard(
    api: ScriptedApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Workload(concurrency=2, requests=4, input_tokens=20, output_tokens=4, warmup=0)
    plan = plan_of(work, api.url, tmp_path / "spool", monkeypatch)
    heard, said = os.pipe()
    fcntl.fcntl(said, fcntl.F_SETPIPE_SZ, 4096)
    os.write(said, b"\n" * fcntl.fcntl(said, fcntl.F_GETPIPE_SZ))  # a kernel that reads nothing, for minutes
    record = os.open(tmp_path / "spool", os.O_WRONLY | os.O_APPEND)
    worker = subprocess.Popen(
        [sys.executable, "-m", "llm_magics.load.worker"], stdin=subprocess.PIPE, stdout=said, pass_fds=(record,)
    )
    os.close(said)
    try:
        assert worker.stdin is not None
        worker.stdin.write(json.dumps({**plan, "share": [0, 2], "spool": record}).encode() + b"\n")
        worker.stdin.flush()
        time.sleep(1.5)  # it has long been ready
        with os.fdopen(heard, "rb") as lines:
            assert any(b"ready" in next(lines) for _ in range(10_000))
    finally:
        worker.stdin.close() if worker.stdin is not None else None
        worker.wait(60)
        os.close(record)


def test_a_worker_that_stands_still_does_not_hold_its_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_GRACE", 0.5)
    monkeypatch.setattr(running, "_PATIENCE", 0.5)
    with (tmp_path / "spool").open("wb") as record:
        all_ = running.Workers({"steps": []}, 1, record.fileno())
        os.kill(all_.all[0].process.pid, signal.SIGSTOP)
        talking = threading.Thread(target=lambda: [all_.sample({"x" * 40_000: 1.0}) for _ in range(10)], daemon=True)
        talking.start()  # the server's samples fill the pipe
        time.sleep(0.3)
        ending = threading.Thread(target=all_.end, daemon=True)
        ending.start()
        ending.join(60)
        assert not ending.is_alive()
        talking.join(60)
        assert not talking.is_alive()
        assert all_.all[0].process.returncode is not None


def test_a_thought_of_a_step_that_was_given_up_is_not_sent_in_the_next(tmp_path: Path) -> None:
    def first_stalls(talk: Talk) -> None:
        if talk.number == 1:
            talk.stall()
        talk.start()
        talk.words(talk.tokens)
        talk.finish()

    work = Workload(rate=[20.0, 2.0], arrival="constant", conversations=3, turns=2, think=2.5, input_tokens=20,
                    output_tokens=4, warmup=0, drain=1.0)  # fmt: skip
    cancel = threading.Event()
    threading.Timer(60.0, cancel.set).start()
    with ScriptedApi(first_stalls).running() as server:
        status = measure(Endpoint(server.url, "m"), work, tmp_path / "spool", header={}, cancel=cancel)
    assert status == "complete", "it never came to its end"
    found = [row for row in rows(tmp_path / "spool") if row["kind"] == "request"]
    assert [row["turn"] for row in found if row["point"] == 0] == [0, 0, 0]
    assert sorted(row["turn"] for row in found if row["point"] == 1) == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("place", "fails"),
    [
        ("llm_magics.load.driver.Driver", "settled"),  # as an answer is read
        ("llm_magics.load.driver.Driver", "_launch"),  # as a timer fires, then within the step itself
        ("llm_magics.load.in_flight.InFlight", "_spare"),  # as a connection stands
        ("llm_magics.load.recorder.Recorder", "_request"),  # between two reads
    ],
)
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_bug_of_ours_ends_the_run_with_its_words(
    place: str, fails: str, loop: str, api: ScriptedApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = place.rpartition(".")[0]
    code = f"""
import sys
import {module}
if {loop!r} == "asyncio":
    sys.modules["uvloop"] = None
real, calls = {place}.{fails}, []
def failing(*given):
    calls.append(0)
    if len(calls) == 3:
        raise TypeError("a bug of ours")
    return real(*given)
{place}.{fails} = failing
from llm_magics.load.worker import main
sys.exit(main())
"""
    monkeypatch.setattr(running, "_COMMAND", [sys.executable, "-c", code])
    rated = {"rate": 200.0} if fails == "_spare" else {"concurrency": 3}
    work = Workload(**rated, requests=60, input_tokens=20, output_tokens=4, warmup=0, timeout=25)
    with pytest.raises(LoadError, match="a bug of ours"):
        measure(Endpoint(api.url, "m"), work, tmp_path / "spool", header={})
    found = reading.read(tmp_path / "spool")
    assert found.status == "failed"
    assert any("TypeError: a bug of ours" in note for note in found.notes)


STAND_IN = """
import json, os, sys
line = b""
while not line.endswith(b"\\n"):
    line += os.read(0, 1)
plan = json.loads(line)
if plan["share"][0] == 0:
    sys.exit(0)
for said in sys.stdin:
    os.write(plan["spool"], said.encode())
"""


def test_the_servers_samples_go_on_when_the_first_worker_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_COMMAND", [sys.executable, "-c", STAND_IN])
    with (tmp_path / "spool").open("wb") as record:
        both = running.Workers({"steps": []}, 2, record.fileno())
        both.all[0].process.wait(60)
        both.sample({"running": 3.0})
        both.end()
    assert [row["values"] for row in rows(tmp_path / "spool")] == [{"running": 3.0}]


TWICE = """
import os, signal, sys, threading, time
from pathlib import Path
from llm_magics.load import workers
from llm_magics.load.endpoint import Endpoint
from llm_magics.load.measure import measure
from llm_magics.spec.workload import Workload
signal.signal(signal.SIGINT, signal.default_int_handler)
url, spool = sys.argv[1], Path(sys.argv[2])
made, real = [], workers._Worker
workers._Worker = lambda *given: made.append(real(*given)) or made[-1]

def insist():
    while b'"request"' not in spool.read_bytes():
        time.sleep(0.05)
    os.kill(made[0].process.pid, signal.SIGSTOP)  # it cannot end by itself: its disk hangs
    os.kill(os.getpid(), signal.SIGINT)
    while made[0].process.stdin is not None and not made[0].process.stdin.closed:
        time.sleep(0.01)
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=lambda: (time.sleep(0.5), insist()), daemon=True).start()
work = Workload(concurrency=3, requests=100_000, input_tokens=20, output_tokens=4, warmup=0, workers=int(sys.argv[3]))
print(measure(Endpoint(url, "m"), work, spool, header={}), flush=True)
"""


@pytest.mark.parametrize("many", [1, 2])
def test_a_second_interrupt_ends_at_once_and_the_run_is_cancelled(many: int, api: ScriptedApi, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWICE, api.url, str(tmp_path / "spool"), str(many)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "cancelled", done.stderr
    run = reading.read(tmp_path / "spool")
    assert run.status == "cancelled"
    assert not any("without a word" in note for note in run.notes)
    assert len(run.requests) >= 1
