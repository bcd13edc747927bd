"""What the sidebar costs and how soon it shows: `python benchmarks/sidebar.py [--minutes 10]`.

A JupyterLab of its own and a headless Chromium, on loopback; engines are the embedded one with the model that ships.
Writes benchmarks/results/sidebar.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "ui"))

from served import Lab, start_lab  # noqa: E402

from llm_magics.runtime import identity  # noqa: E402
from llm_magics.runtime.record import Record  # noqa: E402
from llm_magics.runtime.registry import Registry  # noqa: E402

FLAGS = ["--no-sandbox", "--disable-gpu"]
TAB = '[data-id="llm-magics"]'


def record(name: str, **changes: Any) -> Record:
    """A record of an engine whose supervisor is this process."""
    values = {
        "id": name, "name": name, "engine": "vllm", "model": "Qwen/Qwen2.5-7B-Instruct", "state": "ready",
        "created": time.time(), "host": "h", "reuse_key": "k", "spec": {}, "keep": "detached",
        "supervisor": identity.current().to_json(),
    }  # fmt: skip
    return Record(**{**values, **changes})


def open_lab(page: Any, lab: Lab) -> None:
    """Lab, with the panel folded."""
    page.goto(f"{lab.url}/lab?token={lab.token}&reset")
    page.wait_for_selector(TAB, timeout=180_000)
    page.wait_for_timeout(3000)


# In the page: from the click until so many rows are painted; from a state's writing (its time is its stage) until seen.
OPENING = """count => new Promise(resolve => {
  const began = performance.now();
  const tab = document.querySelector('[data-id="llm-magics"]');
  for (const kind of ['pointerdown', 'mousedown', 'pointerup', 'mouseup', 'click']) {
    const {x, y} = tab.getBoundingClientRect();
    const event = kind.startsWith('pointer') ? PointerEvent : MouseEvent;
    tab.dispatchEvent(new event(kind, {bubbles: true, button: 0, clientX: x + 5, clientY: y + 5}));
  }
  const look = () => document.querySelectorAll('#llm-magics .llm-Row').length >= count
    ? requestAnimationFrame(() => resolve(performance.now() - began)) : requestAnimationFrame(look);
  look();
})"""
SEEING = """stage => new Promise(resolve => {
  const look = () => [...document.querySelectorAll('.llm-Row-stage')].some(each => each.textContent === stage)
    ? resolve(Date.now()) : requestAnimationFrame(look);
  look();
})"""


def opening(page: Any, lab: Lab, registry: Registry) -> list[float]:
    """ms from the click on the tab until 50 rows are there, five times."""
    for number in range(50):
        registry.write(record(f"e{number}"))
    times = []
    for _ in range(5):
        open_lab(page, lab)
        times.append(page.evaluate(OPENING, 50))
    for number in range(50):
        (registry.directory / f"e{number}.json").unlink()
    return times


def changing(page: Any, registry: Registry) -> list[float]:
    """s from the writing of a state until it is on the screen, twenty times."""
    registry.write(record("one", state="loading"))
    page.wait_for_selector('.llm-Row[data-name="one"]')
    times = []
    for number in range(20):
        time.sleep(0.37)
        stage = f"step {number}"
        written = time.time()
        registry.write(replace(record("one", state="loading"), stage=stage))
        times.append(page.evaluate(SEEING, stage) / 1000 - written)
    (registry.directory / "one.json").unlink()
    return times


def processor(lab: Lab, seconds: float) -> float:
    """% of a core that the server takes."""
    process = psutil.Process(lab.process.pid)
    before, began = process.cpu_times(), time.monotonic()
    time.sleep(seconds)
    after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    return 100 * used / (time.monotonic() - began)


def held(lab: Lab) -> tuple[float, int]:
    """MB of private memory and number of open files of the server."""
    process = psutil.Process(lab.process.pid)
    return process.memory_full_info().uss / 1e6, process.num_fds()


def main() -> None:
    """Measure and write."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=10.0, help="how long ten engines are watched")
    options.add_argument("--idle", type=float, default=60.0, help="s over which processor time is taken")
    asked = options.parse_args()
    home = Path(tempfile.mkdtemp(prefix="sidebar-"))
    lab = start_lab(home)
    lines = []
    try:
        directory = home / "runtime" / "llm-magics"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        registry = Registry(directory)
        with sync_playwright() as playwright:
            found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
            browser = playwright.chromium.launch(executable_path=found, headless=True, args=FLAGS)
            page = browser.new_page(viewport={"width": 1180, "height": 900})
            page.set_default_timeout(180_000)
            times = opening(page, lab, registry)
            lines.append(
                f"| Panel with 50 engines, from the click until all rows are drawn | median"
                f" {statistics.median(times):.0f} ms, worst of 5 {max(times):.0f} ms | 300 ms |"
            )
            times = changing(page, registry)
            lines.append(
                f"| A state, from its writing until it is on the screen | median {statistics.median(times):.2f} s,"
                f" worst of 20 {max(times):.2f} s | 1 s |"
            )
            page.wait_for_timeout(5000)
            shown = processor(lab, asked.idle)
            page.click(TAB)
            page.wait_for_timeout(2000)
            hidden = processor(lab, asked.idle)
            page.click(TAB)
            lines.append(
                f"| Processor time of Jupyter's server, idle panel without engines (hidden: {hidden:.2f} %) |"
                f" {shown:.2f} % of a core | 0.3 % |"
            )
            for number in range(10):
                lab.run("serve", f"e{number}", "--keep", "detached", "--max-num-seqs", "1")
            page.wait_for_function("document.querySelectorAll('.llm-Row[data-state=ready]').length === 10")
            page.wait_for_timeout(20_000)
            ten = processor(lab, asked.idle)
            lines.append(f"| The same with ten idle engines, each asked for its metrics | {ten:.2f} % of a core | - |")
            before = held(lab)
            page.wait_for_timeout(asked.minutes * 60_000)
            after = held(lab)
            lines.append(
                f"| Ten engines watched for {asked.minutes:g} minutes: memory of the server |"
                f" {after[0] - before[0]:+.1f} MB ({before[0]:.0f} to {after[0]:.0f}) | 5 MB |"
            )
            lines.append(f"| and its open files | {after[1] - before[1]:+d} ({before[1]} to {after[1]}) | 0 |")
            browser.close()
    finally:
        lab.run("stop", "--all")
        lab.stop()
        shutil.rmtree(home)
    script = sum(path.stat().st_size for path in (ROOT / "labextension" / "dist").rglob("*.js"))
    lines.append(f"| JavaScript and styles, not compressed | {script / 1000:.1f} kB | 60 kB |")
    load = os.getloadavg()
    text = f"""# The sidebar

By `benchmarks/sidebar.py`, {time.strftime("%Y-%m-%d")}; {os.cpu_count()} cores, load average {load[0]:.1f} at the end
(what else ran on the machine takes part in every time), headless Chromium, everything on loopback.

| what | measured | wanted: under |
|---|---|---|
"""
    text += "\n".join(lines) + "\n"
    (ROOT / "benchmarks" / "results" / "sidebar.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
