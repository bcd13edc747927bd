"""How far off this machine's own client is: our load generator against a server with known latencies, no engine."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llm_magics.errors import LoadError, SpecError
from llm_magics.results import flags

TTFT, ITL, TOKENS = 0.050, 0.010, 100  # s, s, tokens of an answer: what a stream of a fast GPU looks like
MEAN, P99, PACE = 0.5e-3, 2e-3, 1e-3  # s, s, share: errors that nobody needs to think about
_LATE = 2e-3  # s, p99: a paced server that is later than this did not make the load that was asked for


@dataclass(frozen=True)
class Calibration:
    """What one machine's client makes of known latencies; times in s.

    Attributes
    ----------
    concurrency, requests, chunks
        Streams asked for; requests and chunks measured.
    true_ttft, true_tpot
        Means of what the server really did, by its own stamps.
    ttft_error, ttft_error_p99
        The client's mean less the server's; its p99 less the server's.
    tpot_error
        The client's mean over the server's, less 1.
    core, us_per_chunk
        Share of one core that the busiest worker used; its CPU time for each chunk (µs), all it did counted.
    loop_lag_p99, send_lag_p99
        How late the client's loop woke, and sent.
    held, workers
        Mean requests in flight; processes that made the load.
    server_late_p99
        How late the server itself was against its schedule; its truth counts that in.
    """

    concurrency: int
    requests: int
    chunks: int
    true_ttft: float
    true_tpot: float
    ttft_error: float
    ttft_error_p99: float
    tpot_error: float
    core: float
    us_per_chunk: float
    loop_lag_p99: float
    send_lag_p99: float
    held: float
    workers: int
    server_late_p99: float

    @property
    def good_for(self) -> int:
        """Streams of 100 tokens/s at which one worker would use 70 % of its core, by what a stream cost here.

        A chunk costs less the more come at once, so this is a cautious figure.
        """
        return round(self.concurrency / self.workers * flags.CORE / self.core) if self.core > 0 else 0

    @property
    def faults(self) -> list[str]:
        """What is wrong, in words; none when latencies measured here can be taken as the server's."""
        found = []
        if abs(self.ttft_error) > MEAN or abs(self.ttft_error_p99) > P99:
            found.append(
                f"TTFT is off by {self.ttft_error * 1e3:+.2f} ms on average, {self.ttft_error_p99 * 1e3:+.2f} ms at p99"
            )
        if abs(self.tpot_error) > PACE:
            found.append(f"TPOT is off by {self.tpot_error * 100:+.2f} %")
        if self.core > flags.CORE:
            found.append(f"the client used {self.core * 100:.0f} % of a core")
        if self.loop_lag_p99 > flags.LOOP_LAG:
            found.append(f"the client woke {self.loop_lag_p99 * 1e3:.1f} ms late (p99)")
        if self.held < flags.LOAD * self.concurrency:
            found.append(f"{self.held:.1f} streams were held of the {self.concurrency} asked for")
        return found

    @property
    def verdict(self) -> str:
        """One sentence."""
        if not self.faults:
            return f"At {self.concurrency} streams latencies measured on this machine are the server's own."
        return f"At {self.concurrency} streams this machine blurs what it measures: {'; '.join(self.faults)}."

    @property
    def notes(self) -> list[str]:
        """What a reader should know besides."""
        found = [
            (
                f"One worker is good for about {self.good_for} streams of {1 / ITL:.0f} tokens/s "
                f"({flags.CORE * 100:.0f} % of a core)."
            )
        ]
        if self.server_late_p99 > _LATE:
            found.append(
                f"The paced server was {self.server_late_p99 * 1e3:.1f} ms late itself (p99): other work keeps this "
                "machine busy, or it cannot make so much load. The errors stand (they are against what it really sent)."
            )
        return found

    def data(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {**asdict(self), "good_for": self.good_for, "faults": self.faults, "verdict": self.verdict}

    def __str__(self) -> str:
        from llm_magics.views.calibration import CalibrationCard

        return str(CalibrationCard(self.data(), self.notes))

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        from llm_magics.views.calibration import CalibrationCard

        return CalibrationCard(self.data(), self.notes)._repr_mimebundle_()


def calibrate(concurrency: int = 64, *, seconds: float = 10.0, workers: int | str = "auto") -> Calibration:
    """Measure the error of this machine's own client.

    Parameters
    ----------
    concurrency
        Streams at once, each of 100 tokens/s.
    seconds
        How long to measure, about.
    workers
        Processes that make the load, as in `Workload`.

    Raises
    ------
    SpecError
        For a concurrency or a time that makes no sense.
    LoadError
        When the system does not allow so many connections, or the paced server does not start.
    """
    from llm_magics.load.endpoint import Endpoint
    from llm_magics.load.measure import measure
    from llm_magics.results import spool
    from llm_magics.spec import Workload
    from llm_magics.spec.reading import build
    from llm_magics.views.bench_progress import BenchProgress
    from llm_magics.views.progress import live

    least = TTFT + ITL * TOKENS
    if seconds < 2 * least:
        raise SpecError(f"{seconds:g} s are too short.", why=f"one answer takes {least:.2f} s", then="5 s or more")
    work = build(
        Workload,
        {
            "concurrency": concurrency, "duration": max(least, seconds - 2 * least), "input_tokens": 32,
            "output_tokens": TOKENS, "warmup": 0, "workers": workers,
        },
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, _paced() as port, live() as show:
        path = Path(folder) / "calibration.jsonl"
        endpoint = Endpoint(f"http://127.0.0.1:{port}", "paced")
        status = measure(
            endpoint, work, path, header={},
            on_progress=lambda progress: show(BenchProgress("this machine's client", progress, title="calibration")),
        )  # fmt: skip
        truth = _truth(port)
        run = spool.read(path)
    answered = run.measured.take(run.measured.status == 0)
    if status != "complete" or not len(answered) or not truth["requests"]:
        raise LoadError("The calibration was broken off.", why="; ".join(run.flags), then="%llm calibrate")
    audit, window = run.audits[0], run.windows[0]
    chunks = int(answered.chunks.sum())
    return Calibration(
        concurrency=concurrency,
        requests=len(answered),
        chunks=chunks,
        true_ttft=truth["ttft_mean"],
        true_tpot=truth["tpot_mean"],
        ttft_error=float(answered.ttft.mean()) - truth["ttft_mean"],
        ttft_error_p99=float(np.percentile(answered.ttft, 99)) - truth["ttft_p99"],
        tpot_error=float(np.nanmean(answered.tpot)) / truth["tpot_mean"] - 1,
        core=audit.core,
        us_per_chunk=audit.core * audit.workers * (window.end - window.start) / chunks * 1e6,
        loop_lag_p99=audit.loop_lag_p99,
        send_lag_p99=audit.send_lag_p99,
        held=float(run.points[0]["achieved_concurrency"] or audit.held),
        workers=audit.workers,
        server_late_p99=truth["late_p99"],
    )


@contextmanager
def _paced() -> Iterator[int]:
    """The paced server while it is needed; yields its port."""
    command = [sys.executable, "-m", "llm_magics.load.paced", str(TTFT * 1e3), str(ITL * 1e3)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        line = process.stdout.readline() if process.stdout is not None else ""
        if not line.strip().isdigit():
            said = process.stderr.read() if process.stderr is not None else ""
            raise LoadError("The paced server did not start.", why=said.strip()[-800:], then="%llm doctor")
        yield int(line)
    finally:
        process.kill()
        process.communicate()


def _truth(port: int) -> dict[str, Any]:
    import json
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy has nothing to do here
    with opener.open(f"http://127.0.0.1:{port}/truth", timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
    return found
