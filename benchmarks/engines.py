"""Every engine that is installed here, one after another, on the model that ships and the same requests.

`python benchmarks/engines.py [--save]` writes build/engines.html, one page for all; with --save the table also goes to
benchmarks/results/engines-on-a-cpu.md, unless an engine is missing from it. On a model this small an engine's own work
is all there is to see: the figures say that each was started, loaded and measured, and rank nothing for a model of use.
"""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path

from machine import system

from llm_magics import api, engines
from llm_magics.engines import environments

ROOT = Path(__file__).resolve().parent.parent
WORKLOAD = {"input_tokens": 64, "output_tokens": 32, "concurrency": [1, 4], "requests": 24, "slo": {"ttft": "500ms"}}


def main() -> int:
    """Compares, prints the table, writes the page; returns 1 when an engine that is here is missing from it."""
    options = argparse.ArgumentParser()
    options.add_argument("--save", action="store_true")
    options.add_argument("--rounds", type=int, default=1)
    asked = options.parse_args()
    here = [key for key in engines.names() if environments.locate(engines.get(key)) and not engines.get(key).needs_gpu]
    print(f"engines: {', '.join(here)}")
    found = api.compare(engines=here, model="tiny", workload=WORKLOAD, rounds=asked.rounds, timeout=600.0)
    page = ROOT / "build" / "engines.html"
    page.parent.mkdir(exist_ok=True)
    found.report(page)
    print(f"{found}\n\n{page}")
    if missing := sorted(set(here) - set(found.labels)):
        print(f"left out: {', '.join(missing)}; why is said above{', and nothing was saved' if asked.save else ''}")
        return 1
    if asked.save:
        versions = ", ".join(f"{run.header['engine']} {run.header['engine_version']}" for run in found.runs.values())
        machine = f"{os.cpu_count()} cores, no GPU, {system()}"
        text = (
            f"# Engines on a CPU, with the model that ships\n\n`python benchmarks/engines.py --save --rounds "
            f"{asked.rounds}`, {datetime.now(UTC):%Y-%m-%d}: {machine}; {versions}. Workload: {WORKLOAD}.\n\n"
            "On a model of 3.7 million parameters the engine's own work is all there is to see; "
            f"this ranks nothing for a model of use.\n\n```\n{found}\n```\n"
        )
        (ROOT / "benchmarks" / "results" / "engines-on-a-cpu.md").write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
