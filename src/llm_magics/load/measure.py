"""One run, seen from the process that wants it: plan, start the workers, follow them, always end with a readable spool.

The caller may be a notebook's kernel: it can be interrupted at any moment (what was measured is kept) or killed (the
worker sees its stdin end, stops the load and closes the spool). Nothing here is on the hot path.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from llm_magics.errors import LoadError, SpecError
from llm_magics.load import descriptors
from llm_magics.load.arrivals import digest
from llm_magics.load.asking import headers
from llm_magics.load.datasets import recipe
from llm_magics.load.endpoint import Endpoint
from llm_magics.load.progress import Follower, Progress
from llm_magics.load.sharing import most_workers, workers_for
from llm_magics.load.steps import at_once, expected, schedules, steps_of
from llm_magics.load.traces import trace_of
from llm_magics.load.workers import Workers
from llm_magics.results.records import SPOOL_SCHEMA
from llm_magics.spec.workload import Workload

_SAMPLE = 0.4  # s between two looks at the server's own metrics
_CONVERSING = 86_400.0  # s


def measure(
    endpoint: Endpoint,
    workload: Workload,
    spool: Path,
    *,
    header: dict[str, Any],
    on_progress: Callable[[Progress], None] | None = None,
    cancel: threading.Event | None = None,
    salt: int | None = None,
) -> str:
    """Run a workload against a server and write everything down as it happens.

    Parameters
    ----------
    spool
        File to write (mode 0600), in the format of `results.records`.
    header
        What the caller knows about the run; goes into the spool's first row.
    on_progress
        Called four times a second in this thread.
    cancel
        Set it to stop the run; what was measured is kept. KeyboardInterrupt does the same.
    salt
        Decides the words of generated prompts. Runs to be compared get the same one; by default it is new, so that no
        run finds its prompts in a cache that an earlier run has filled.

    Returns
    -------
    `complete`, `cancelled`, or `failed` when the server refused all of the first requests alike and the run was given
    up; the server's words stand in the spool's end row.

    Raises
    ------
    SpecError, TargetError
        The workload cannot be made, or the server does not answer; before any load.
    LoadError
        The generator could not run or could not record. What was measured until then stays in the spool.
    """
    salt = secrets.randbits(40) if salt is None else salt
    trace = trace_of(workload)
    descriptors.check(at_once(workload))
    steps = steps_of(workload, trace)
    made, notes = recipe(endpoint, workload, salt, trace)
    for number, step in enumerate(steps):
        step["answers"] = expected(step, number, len(steps), made)
    origin = time.monotonic_ns()
    where = endpoint.address
    path = endpoint.protocol.path(endpoint.model, chat=workload.endpoint == "chat")
    head = f"POST {where.path}{path} HTTP/1.1\r\n" + "".join(
        f"{key}: {value}\r\n" for key, value in headers(where, endpoint.api_key).items()
    )
    plan = {
        "origin": origin, "host": where.host, "port": where.port, "tls": where.tls, "head": head,
        "timeout": workload.timeout, "drain": _drain(workload), "recipe": made, "steps": steps,
        "protocol": endpoint.protocol.key, "schema": workload.json_schema,
    }  # fmt: skip
    record = _open_spool(
        spool, {"started": time.time(), "workload": workload.model_dump(), **header}, workload, steps, notes
    )
    workers, sampler, clean = None, None, False
    try:
        most = most_workers(steps)
        if workload.workers_on == "local":
            workers = Workers(plan, min(_workers(workload, steps, where.host), most), record)
        else:
            far = {"on": workload.workers_on, "workers": workload.workers, "most": most}
            workers = Workers(plan, 1, record, far)
        if endpoint.sample is not None:
            sampler = _Sampler(endpoint.sample, workers.sample)
            sampler.start()
        follower = Follower(steps, [point.label for point in workload.points])
        show = None if on_progress is None else lambda line: on_progress(follower.read(line))
        status = workers.follow(show, cancel)
        clean = True
        if workers.cut_short:
            _end(record, origin, status)
        return status
    except BaseException as error:
        if workers is not None:
            workers.end()
        if isinstance(error, SpecError):  # told before anything was sent: there is no run
            spool.unlink(missing_ok=True)
        _close(record, origin, "cancelled" if isinstance(error, KeyboardInterrupt) else "failed", str(error))
        raise
    finally:
        if sampler is not None:
            sampler.over.set()
        if clean:
            os.close(record)


class _Sampler(threading.Thread):
    """Looks at the server's own metrics while a run goes on; whatever goes wrong here must not hurt the run."""

    def __init__(self, sample: Callable[[], Mapping[str, float]], tell: Callable[[dict[str, float]], None]) -> None:
        super().__init__(daemon=True)
        self.sample, self.tell = sample, tell
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            with suppress(Exception):
                self.tell({key: float(value) for key, value in self.sample().items()})
            self.over.wait(_SAMPLE)


def _drain(workload: Workload) -> float | None:
    """How long a rate's queue is waited for; conversations take the time that they take."""
    return _CONVERSING if workload.drain is None and workload.turns > 1 else workload.drain


def _workers(workload: Workload, steps: list[dict[str, Any]], host: str) -> int:
    if workload.workers != "auto":
        return int(workload.workers)
    local = host in ("127.0.0.1", "::1", "localhost")
    return workers_for(steps, workload.output_tokens, local=local)


def _open_spool(
    spool: Path, header: dict[str, Any], workload: Workload, steps: list[dict[str, Any]], notes: dict[str, Any]
) -> int:
    """The spool's descriptor, locked, its header written. The worker inherits it, and the lock with it: a spool is
    locked for as long as anybody may still write to it, and no longer."""
    points = []
    for index, point in enumerate(workload.points):
        times = schedules(steps, index)
        about: dict[str, Any] = {
            "label": point.label,
            "arrival": point.arrival,
            "rate": point.rate if point.arrival != "throughput" else None,
            "concurrency": point.concurrency,
            "requests": len(times[0]) if times else workload.starts_per_point if point.duration is None else None,
            "duration": point.duration or workload.duration,
            "schedule": [digest(each) for each in times],
        }
        if point.ramp is not None:
            about["ramp"] = {"from": point.ramp.start, "to": point.ramp.end, "shape": point.ramp.shape}
        if point.stage is not None:
            about["stage"] = point.stage
        points.append(about)
    row = {"kind": "header", "schema": SPOOL_SCHEMA, **header, "points": points, "prompts": notes}
    try:
        record = os.open(spool, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(record, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(record, json.dumps(row, default=str).encode() + b"\n")
    except OSError as error:
        raise LoadError(f"The run cannot be recorded in {spool}.", why=error.strerror or str(error)) from None
    return record


def _end(record: int, origin: int, status: str, error: str = "") -> None:
    """The end row, for workers that could not write it: nobody waits for it then."""
    with suppress(OSError):
        last = os.pread(record, 1, max(0, os.fstat(record).st_size - 1))
        why = {"error": error} if error else {}
        end = {"kind": "end", "status": status, "duration": (time.monotonic_ns() - origin) / 1e9, **why}
        line = json.dumps(end, separators=(",", ":")).encode() + b"\n"
        os.write(record, line if last == b"\n" else b"\n" + line)


def _close(record: int, origin: int, status: str, error: str) -> None:
    """Release the spool of a run that broke; its end row says so."""
    _end(record, origin, status, error)
    os.close(record)
