"""One run, seen from the process that wants it: plan, start the worker, follow it, always end with a readable spool.

The caller may be a notebook's kernel: it can be interrupted at any moment (what was measured is kept) or killed (the
worker sees its stdin end, stops the load and closes the spool). Nothing here is on the hot path.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from llm_magics.errors import LoadError
from llm_magics.load.arrivals import digest, schedule, stagger
from llm_magics.load.datasets import recipe
from llm_magics.load.endpoint import Endpoint, headers
from llm_magics.load.progress import Follower, Progress
from llm_magics.results.records import SPOOL_SCHEMA
from llm_magics.spec.workload import Workload

_GRACE = 10.0  # s for a cancelled worker to write what it has
_SAMPLE = 0.4  # s between two looks at the server's own metrics
_LOOK = 0.1  # s between two looks at `cancel`
_NOT_RECORDED = 4
_REFUSED = 5
_SPARE_DESCRIPTORS = 64


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
    steps = _steps(workload)
    _check_descriptors(steps)
    made, notes = recipe(endpoint, workload, salt)
    origin = time.monotonic_ns()
    where = endpoint.address
    path = endpoint.protocol.path(endpoint.model, chat=workload.endpoint == "chat")
    head = f"POST {where.path}{path} HTTP/1.1\r\n" + "".join(
        f"{key}: {value}\r\n" for key, value in headers(where, endpoint.api_key).items()
    )
    plan = {
        "origin": origin, "host": where.host, "port": where.port, "tls": where.tls, "head": head,
        "timeout": workload.timeout, "recipe": made, "steps": steps, "protocol": endpoint.protocol.key,
    }  # fmt: skip
    record = _open_spool(
        spool, {"started": time.time(), "workload": workload.model_dump(), **header}, workload, steps, notes
    )
    try:
        run = _Run(plan, [point.label for point in workload.points], endpoint, on_progress, record)
        status = run.follow(cancel)
    except BaseException as error:
        _close(record, origin, "failed", str(error))
        raise
    _close(record, origin, "cancelled", None)
    return status


class _Run:
    """The worker process, while it runs."""

    def __init__(
        self,
        plan: dict[str, Any],
        labels: list[str],
        endpoint: Endpoint,
        on_progress: Callable[[Progress], None] | None,
        record: int,
    ) -> None:
        self.follower = Follower(plan["steps"], labels)
        self.on_progress = on_progress
        self.endpoint = endpoint
        self.over = threading.Event()
        self._talking = threading.Lock()
        self.worker = subprocess.Popen(
            [sys.executable, "-m", "llm_magics.load.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(record,),
            start_new_session=True,  # an interrupt from the terminal reaches the caller alone, who decides
        )
        self._errors: list[bytes] = []
        threading.Thread(target=self._collect_errors, daemon=True).start()
        self._say(json.dumps({**plan, "spool": record}).encode())

    def follow(self, cancel: threading.Event | None) -> str:
        """Wait for the end, passing on progress; the status of the run."""
        sampler = None
        if self.endpoint.sample is not None:
            sampler = threading.Thread(target=self._sample, daemon=True)
            sampler.start()
        try:
            try:
                self._watch(cancel)
            except KeyboardInterrupt:
                self._end()
        finally:
            self.over.set()
            self._end()
        code = self.worker.returncode
        if code == 0:
            return "complete"
        if code == 3:
            return "cancelled"
        if code == _REFUSED:
            return "failed"
        said = b"".join(self._errors).decode("utf-8", "replace").strip()
        if code == _NOT_RECORDED:
            raise LoadError(
                "The measurements could not be written.", why=said, then="free some space; what was written is kept"
            )
        raise LoadError(
            f"The load generator ended unexpectedly (exit {code}).",
            why="\n".join(said.splitlines()[-8:]),
            then="run it again; what was measured until then is kept",
        )

    def _watch(self, cancel: threading.Event | None) -> None:
        stdout = self.worker.stdout
        if stdout is None:
            return
        os.set_blocking(stdout.fileno(), False)
        pending = b""
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while True:
                if cancel is not None and cancel.is_set():
                    self._end()
                    return
                if not selector.select(_LOOK):
                    continue
                data = os.read(stdout.fileno(), 65_536)
                if not data:
                    return
                *lines, pending = (pending + data).split(b"\n")
                if lines and self.on_progress is not None:
                    self.on_progress(self.follower.read(json.loads(lines[-1])))

    def _end(self) -> None:
        """End of stdin: the worker stops its load, writes what it has and goes. A second interrupt kills it."""
        try:
            with self._talking, suppress(OSError):
                if self.worker.stdin is not None:
                    self.worker.stdin.close()
            self.worker.wait(_GRACE)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            self.worker.kill()
            self.worker.wait()
        if self.worker.stdout is not None:
            self.worker.stdout.close()

    def _sample(self) -> None:
        """Look at the server's own metrics on the run's clock; whatever goes wrong here must not hurt the run."""
        sample = self.endpoint.sample
        while sample is not None and not self.over.is_set():
            try:
                values = {key: float(value) for key, value in sample().items()}
                row = json.dumps({"at": time.monotonic_ns(), "values": values}, allow_nan=False)
                self._say(row.encode())
            except Exception:  # noqa: BLE001, S110 - the server's metrics are a courtesy
                pass
            self.over.wait(_SAMPLE)

    def _say(self, line: bytes) -> None:
        with self._talking, suppress(OSError, ValueError):
            if self.worker.stdin is not None:
                self.worker.stdin.write(line + b"\n")
                self.worker.stdin.flush()

    def _collect_errors(self) -> None:
        if self.worker.stderr is not None:
            with self.worker.stderr as stderr:
                for line in stderr:
                    self._errors = [*self._errors[-50:], line]


def _steps(workload: Workload) -> list[dict[str, Any]]:
    """Every repetition of every point, in the order in which they run: whole sweeps, one after the other."""
    steps = []
    for repeat in range(workload.repeats):
        for index, point in enumerate(workload.points):
            step: dict[str, Any] = {
                "point": index,
                "repeat": repeat,
                "warmup": workload.warmup,
                "requests": workload.requests_per_point,
                "duration": workload.duration,
                "stagger": 0.0,
            }
            times = schedule(point, workload, index=index, repeat=repeat)
            if times is None:
                streams = point.concurrency or 1
                step |= {"streams": streams, "stagger": stagger(streams)}
            else:
                at_once = len(times) if point.arrival == "throughput" else 1
                step |= {"times": times, "requests": len(times), "connections": at_once}
            steps.append(step)
    return steps


def _check_descriptors(steps: list[dict[str, Any]]) -> None:
    """Refuse what this system cannot open; the worker raises its soft limit to the hard one by itself."""
    try:
        import resource
    except ImportError:
        return
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    needed = max(min(step.get("streams", step.get("connections", 1)), step["requests"] or 1 << 62) for step in steps)
    if hard != resource.RLIM_INFINITY and needed + _SPARE_DESCRIPTORS > hard:
        raise LoadError(
            f"{needed} connections at once were asked for; this system lets a process open {hard} files.",
            then="ask for fewer, or raise the hard limit (`ulimit -Hn`) before the kernel starts",
        )


def _open_spool(
    spool: Path, header: dict[str, Any], workload: Workload, steps: list[dict[str, Any]], notes: dict[str, Any]
) -> int:
    """The spool's descriptor, locked, its header written. The worker inherits it, and the lock with it: a spool is
    locked for as long as anybody may still write to it, and no longer."""
    points = []
    for index, point in enumerate(workload.points):
        mine = [step for step in steps if step["point"] == index]
        points.append(
            {
                "label": point.label,
                "arrival": point.arrival,
                "rate": point.rate if point.arrival != "throughput" else None,
                "concurrency": point.concurrency,
                "requests": mine[0]["requests"],
                "duration": workload.duration,
                "schedule": [digest(step["times"]) for step in mine if "times" in step],
            }
        )
    row = {"kind": "header", "schema": SPOOL_SCHEMA, **header, "points": points, "prompts": notes}
    try:
        record = os.open(spool, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(record, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(record, json.dumps(row, default=str).encode() + b"\n")
    except OSError as error:
        raise LoadError(f"The run cannot be recorded in {spool}.", why=error.strerror or str(error)) from None
    return record


def _close(record: int, origin: int, status: str, error: str | None) -> None:
    """Release the spool; one whose worker died gets its end row here, so that nobody waits for it."""
    with suppress(OSError):
        size = os.fstat(record).st_size
        last = os.pread(record, 4096, max(0, size - 4096))
        if b'"kind":"end"' not in last[last.rfind(b"\n", 0, -1) + 1 :]:
            end = {"kind": "end", "status": status, "duration": (time.monotonic_ns() - origin) / 1e9}
            if error:
                end["error"] = error
            line = json.dumps(end, separators=(",", ":")).encode() + b"\n"
            os.write(record, line if last.endswith(b"\n") else b"\n" + line)
    os.close(record)
