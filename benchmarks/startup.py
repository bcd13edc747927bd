"""What the notebook user waits for: import, %load_ext, a server's start beside the engine's own, a run being shown.

`python benchmarks/startup.py [--save]`; with --save the table is written to benchmarks/results/startup.md.
Each figure is the median of several fresh processes; figures of one run on one machine, no test depends on them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

from machine import cores_and_system

ROUNDS = 5


def seconds(code: str) -> float:
    """Median over fresh interpreters of what `code` prints last (seconds)."""
    took = []
    for _ in range(ROUNDS):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        took.append(float(done.stdout.split()[-1]))
    return statistics.median(took)


TIMED = "import time; began = time.perf_counter()\n{}\nprint(time.perf_counter() - began)"
SHELL = "from IPython.core.interactiveshell import InteractiveShell; shell = InteractiveShell.instance()\n"


def engine_alone() -> float:
    """Seconds from exec to readiness of the embedded engine, started by hand with the command we would start."""
    from llm_magics.api.preparing import prepare
    from llm_magics.runtime.ports import free_port
    from llm_magics.spec import ServerSpec

    prepared = prepare(ServerSpec(name="alone"))
    took = []
    for _ in range(ROUNDS):
        port = free_port("127.0.0.1")
        command = prepared.command(port)
        began = time.perf_counter()
        process = subprocess.Popen(
            command.argv, env={**os.environ, **command.env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while True:
            url = f"http://127.0.0.1:{port}/health"
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1) as answer:
                if answer.status == 200:
                    break
            time.sleep(0.005)
        took.append(time.perf_counter() - began)
        process.terminate()
        process.wait()
    return statistics.median(took)


def served() -> tuple[float, float]:
    """Seconds of `serve()` of the same, and the supervisor's resident memory (MB)."""
    import psutil

    from llm_magics.api import serve, stop

    took, memory = [], 0.0
    for _ in range(ROUNDS):
        began = time.perf_counter()
        server = serve("startup", keep="cell")
        took.append(time.perf_counter() - began)
        memory = psutil.Process(server.record.supervisor["pid"]).memory_info().rss / 1e6
        stop("startup")
    return statistics.median(took), memory


SHOWN = """
import sys; sys.path.insert(0, "tests/unit/results")
from synthetic import synthetic_run
from llm_magics import views
run = synthetic_run(requests=1000)
import time; began = time.perf_counter()
run._repr_mimebundle_()
print(time.perf_counter() - began)
"""


def main() -> None:
    """Prints the table, and saves it when asked."""
    options = argparse.ArgumentParser()
    options.add_argument("--save", action="store_true")
    save = options.parse_args().save
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(JUPYTER_RUNTIME_DIR=f"{home}/r", JUPYTER_DATA_DIR=f"{home}/d", LLM_MAGICS_NONINTERACTIVE="1")
        alone = engine_alone()
        ours, memory = served()
        rows = [
            ("import llm_magics", f"{1000 * seconds(TIMED.format('import llm_magics')):.0f} ms", "under 60 ms"),
            (
                "%load_ext llm_magics in a bare IPython",
                f"{1000 * seconds(SHELL + TIMED.format('''shell.run_line_magic('load_ext', 'llm_magics')''')):.0f} ms",
                "under 300 ms",
            ),
            ("embedded engine alone, exec to ready", f"{alone:.2f} s", ""),
            ("serve('tiny'), call to ready", f"{ours:.2f} s", "engine alone + 0.5 s"),
            ("supervisor, resident memory", f"{memory:.0f} MB", "under 25 MB"),
            ("a finished run of 1,000 requests, mime bundle", f"{seconds(SHOWN):.2f} s", "under 0.5 s"),
        ]
    head = f"{datetime.now(UTC):%Y-%m-%d}, {cores_and_system()}"
    table = "\n".join(["| what | median | target |", "|---|---|---|", *(f"| {a} | {b} | {c} |" for a, b, c in rows)])
    text = f"# Start-up\n\n`python benchmarks/startup.py --save`: {head}; {ROUNDS} rounds each.\n\n{table}\n"
    print(text)
    if save:
        Path(__file__).with_name("results").joinpath("startup.md").write_text(text)


if __name__ == "__main__":
    main()
